/** The live page in a real browser, against a real service: runs. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { violationsOf } from './accessible.ts'
import { startBrowser } from './browser.ts'
import { checkClean, commandsIn, laneOf, start, tasksDir } from './shared.ts'

/** For all of them; the last test closes it. */
const browser = await startBrowser()

test('starts the recipe with a click, and shows the answer’s line before the other lanes end', async () => {
  await using service = await shareService({ tasksDir })
  await using tab = await browser.open(service.url)
  const { page } = tab
  await page.getByText('No runs yet').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.getByRole('link', { name: 'Start a run' }).last().click()
  await page.getByRole('button', { name: 'Start', exact: true }).first().click()

  await page.getByText('answer sent').waitFor()
  await page.getByRole('heading', { name: /^Answered after \d+ ms; .* of work/ }).waitFor()
  assert.is(await laneOf(page, /^first/).getAttribute('data-state'), 'completed')
  assert.is(await laneOf(page, /^second/).getAttribute('data-state'), 'running')
  const line = page.locator('.after')
  const box = await until('the ground right of the line is tinted', async () => {
    const found = await line.boundingBox()
    return found !== null && found.width > 0 && found.height > 100 && found
  })
  const committed = page.locator('.row.http .committed')
  assert.match((await committed.getAttribute('title')) ?? '', /^committed, \+[\d.]+ ms$/)
  await page.locator('.row.http .bar').hover({ force: true })
  await page
    .locator('.readout')
    .filter({ hasText: /^HTTP, received \+0 ms, committed \+[\d.]+ ms, answer sent \+[\d.]+ m?s$/ })
    .waitFor()
  assert.equal(await violationsOf(page), [])

  // It moves: progress of the job, and the line, for the axis grows.
  const share = laneOf(page, /^second/).locator('.outcome')
  await share.filter({ hasText: /[1-9]\d? %/ }).waitFor()
  const before = await share.textContent()
  await until('progress moves', async () => (await share.textContent()) !== before)
  const moved = await line.boundingBox()
  assert.ok((moved?.x ?? 0) < box.x, `the line moves left as time goes on: ${box.x} to ${moved?.x}`)
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.locator('.sub .is-cancelled').waitFor()
  checkClean(tab)
})

test('cancels, retries, and shows the attempts with their errors', async () => {
  await using service = await shareService({ tasksDir })
  const charge = { name: 'charge', maxAttempts: 1 }
  const tasks = [{ name: 'first' }, { name: 'second', input: { ms: 60_000 } }, charge, charge]
  const id = await start(service, { tasks })
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  await page.getByText('PaymentError: card declined').waitFor()
  await page.getByText('caused by Error: response 402 of the bank').waitFor()
  assert.equal(await violationsOf(page), [])

  const [ofRun, ofJob] = [page.locator('.sub'), page.getByRole('region', { name: 'Job 2, charge' })]
  assert.equal(await commandsIn(page, ofRun), [
    `curl -X POST '/runs/${id}/jobs/{2,3}/retry'`,
    `forerunner retry ${id}`,
    `curl -X POST /runs/${id}/cancel`,
    `forerunner cancel ${id}`,
  ])
  assert.equal(await commandsIn(page, ofJob), [`curl -X POST /runs/${id}/jobs/2/retry`, `forerunner retry ${id} 2`])
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.locator('.sub .is-failed').waitFor()
  assert.is(await laneOf(page, /^second/).getAttribute('data-state'), 'cancelled')

  await page
    .getByRole('button', { name: /^charge/ })
    .first()
    .click()
  assert.ok(page.url().includes('job=2'), 'the chosen job is in the address')
  await page.getByRole('button', { name: 'Retry', exact: true }).click()
  await page.getByText('Attempt 2').waitFor()
  const failedBars = page.locator('.row[data-state="failed"] .bar.failed')
  await until('it has failed again', async () => (await failedBars.count()) === 3)
  await page.getByRole('button', { name: 'Retry 2 failed jobs' }).click()
  await until('both have', async () => (await failedBars.count()) === 5)
  checkClean(tab)
})

test('marks the stored steps of a job on its lane, with their names there, in its story and in the table', async () => {
  await using service = await shareService({ tasksDir })
  const tasks = [{ name: 'first' }, { name: 'charge', input: { steps: ['authorize', 'book'], succeedsAt: 1 } }]
  const id = await start(service, { tasks })
  await using tab = await browser.open(`${service.url}/?run=${id}&job=1`)
  const { page } = tab
  const ticks = laneOf(page, /^charge/).locator('.step')
  await until('both are marked', async () => (await ticks.count()) === 2)
  assert.match((await ticks.first().getAttribute('title')) ?? '', /^authorize, \+\d/)
  const listed = page.getByRole('list', { name: 'Stored steps' }).getByRole('listitem')
  assert.match((await listed.allTextContents()).join(), /^authorize \+.*,book \+/)
  await page.getByRole('cell', { name: 'authorize, book' }).waitFor()
  assert.equal(await violationsOf(page), [])
  checkClean(tab)
})

test('repeats a run with changed input', async () => {
  await using service = await shareService({ tasksDir })
  await using tab = await browser.open(`${service.url}/?start`)
  const { page } = tab
  await page.getByRole('button', { name: 'Remove job 2, third' }).click()
  await page.getByRole('button', { name: 'Remove job 1, second' }).click()
  await page.getByLabel('▸ Answers').selectOption('form')
  await page.getByRole('button', { name: 'Start this run' }).click()
  await page.getByRole('alert').filter({ hasText: '/tasks/0/input' }).waitFor()
  await page.getByLabel('title *').fill(`it's "<b>bold</b>"`)
  await page.getByLabel('copies').fill('3')
  await page.getByLabel('size').selectOption('large')
  await page.getByLabel('extra').fill('{"a":[1]}')
  await page.getByLabel('Tags').fill('form, eu')
  await page.getByRole('button', { name: 'Start this run' }).click()
  await page.getByText('answer sent').waitFor()
  const shown = JSON.parse((await page.locator('section pre').first().textContent()) ?? '') as unknown
  assert.equal(shown, { title: `it's "<b>bold</b>"`, copies: 3, size: 'large', extra: { a: [1] } })

  const input = page.getByRole('region', { name: 'Input' })
  await input.getByText(`"it's \\"<b>bold</b>\\""`).waitFor()
  await page.getByRole('link', { name: 'Run again…' }).click()
  await until('the form has what the service has', async () => {
    return (await page.getByLabel('title *').inputValue()) === `it's "<b>bold</b>"`
  })
  await page.getByLabel('copies').fill('4')
  await page.getByRole('button', { name: 'Start this run' }).click()
  await page.getByText('answer sent').waitFor()
  const { runs } = (await (await service.get('/runs?tag=eu')).json()) as { runs: unknown[] }
  assert.is(runs.length, 2)
  const newer = page.url()
  await page.getByRole('link', { name: /^↻ of …/ }).click()
  await page.getByText('run again as').getByRole('link').click()
  await until('it leads back', () => page.url() === newer)
  // A refusal is logged by the browser itself.
  assert.equal(
    tab.wrongs.filter((line) => !line.includes('status of 422')),
    [],
  )
})

test('shows inputs and results exactly as written, also when a run is repeated', async () => {
  await using service = await shareService({ tasksDir })
  const input = '{"b":1.0,"10":18446744073709551616}'
  const sent = await service.post('/run-tasks', `{"tasks":[{"name":"exact","input":${input}}]}`)
  const { id } = await readRun(sent)
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  const textOf = async (part: string): Promise<string> =>
    (await page.getByRole('region', { name: part }).locator('pre').textContent()) ?? ''
  assert.is(await textOf('Result'), '{\n  "token": "hidden",\n  "id": 12345678901234567890,\n  "share": 1.0\n}')
  assert.is(await textOf('Input'), '{\n  "b": 1.0,\n  "10": 18446744073709551616\n}')
  await page.getByRole('link', { name: 'Run again…' }).click()
  await page.locator('.curl').getByText(`"input":${input}`).waitFor()
  await page.getByRole('button', { name: 'Start this run' }).click()
  await page.getByText('run again').waitFor()
  const { runs } = (await (await service.get('/runs?task=exact&pageSize=1')).json()) as { runs: { id: string }[] }
  assert.is(await (await service.get(`/runs/${runs[0]?.id}/jobs/0/input`)).text(), input)
  checkClean(tab)
})

test('says why a job waits, and which job has won a race', async () => {
  await using service = await shareService({ tasksDir })
  const tasks = [
    { name: 'second', input: { ms: 60_000 } },
    { name: 'form', input: { title: 'a' } },
  ]
  const id = await start(service, { tasks: [...tasks, { name: 'third', delayMs: 3_600_000 }], respond: 'race' })
  await using tab = await browser.open(`${service.url}/?run=${id}&job=2`)
  const { page } = tab
  await page.getByText(/^It is due at .*, in \d+ min \d\d s: that is its delay\.$/).waitFor()
  await page.getByRole('heading', { name: /^Answered after \d+ ms by job 1, which won the race; / }).waitFor()
  await laneOf(page, /^form/).getByText('won').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.locator('.sub .is-cancelled').waitFor()
  checkClean(tab)
})

test('cuts a large result, and leaves a larger one to a download', async () => {
  await using service = await startService({ tasksDir, maxBodyBytes: 8 * 2 ** 20 })
  const form = (length: number) => ({ name: 'form', input: { title: 'x'.repeat(length) } })
  const cut = await start(service, { tasks: [form(300_000)] })
  const large = await start(service, { tasks: Array.from({ length: 4 }, () => form(600_000)), respond: 'all' })
  await using tab = await browser.open(`${service.url}/?run=${cut}`)
  const { page } = tab
  await page.getByText('The first 100 kB are shown.').waitFor()
  assert.is((await page.locator('section pre').first().textContent())?.length, 100_000)
  await page.goto(`${service.url}/?run=${large}`)
  await page.getByText(/^600,\d\d\d bytes, too many to be shown here$/).waitFor()
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'download the job' }).click(),
  ])
  const job = JSON.parse(readFileSync(await download.path(), 'utf8')) as { result: { title: string } }
  assert.is(job.result.title.length, 600_000)
  await page.goto(`${service.url}/?run=01a22900-0000-7000-8000-000000000000`)
  await page.getByText('This run cannot be shown.').waitFor()
  assert.equal(
    tab.wrongs.filter((line) => !line.includes('status of 404')),
    [],
  )
})

test('zooms by keys and by the strip, and shows the exact times at the pointer', async () => {
  await using service = await shareService({ tasksDir })
  const tasks = [
    { name: 'form', input: { title: 'a' } },
    { name: 'second', input: { ms: 300 } },
  ]
  const id = await start(service, { tasks, respond: 'all' })
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  const bar = laneOf(page, /^second/).locator('.bar.completed')
  await bar.waitFor()
  const widthOf = async (): Promise<number> =>
    (await bar.evaluate((element) => element.getBoundingClientRect().width)) ?? 0
  const whole = await widthOf()
  await page.keyboard.press('+')
  await until('it is twice as wide', async () => Math.abs((await widthOf()) / whole - 2) < 0.1)
  await page.keyboard.press('0')
  await until('all is shown', async () => (await widthOf()) === whole)
  await bar.hover()
  await page
    .locator('.readout')
    .filter({ hasText: /attempt 1: completed, \+[\d.]+ m?s to \+[\d.]+ m?s, [\d.]+ m?s/ })
    .waitFor()
  await page
    .locator('.hair')
    .filter({ hasText: /^\+[\d.]+ m?s$/ })
    .waitFor()
  const strip = await page.locator('.strip').boundingBox()
  assert.ok(strip !== null)
  await page.mouse.move(strip.x + strip.width * 0.5, strip.y + 10)
  await page.mouse.down()
  await page.mouse.move(strip.x + strip.width * 0.75, strip.y + 10, { steps: 3 })
  await page.mouse.up()
  await until('a quarter is shown', async () => Math.abs((await widthOf()) / whole - 4) < 0.3)
  const from = page.getByRole('slider', { name: 'Shown from' })
  await from.focus()
  await page.keyboard.press('Home')
  assert.is(await from.getAttribute('aria-valuetext'), '0 ms')
  await laneOf(page, /^second/)
    .getByRole('button')
    .focus()
  await page.locator('.readout').filter({ hasText: 'completed' }).waitFor()
  assert.equal(await violationsOf(page), [])
  checkClean(tab)
})

test('shows a run even if its stream is refused', async () => {
  await using service = await startService({ tasksDir, maxStreams: 0 })
  const running = await start(service, { tasks: [{ name: 'first' }, { name: 'second', input: { ms: 60_000 } }] })
  const finished = await start(service, { tasks: [{ name: 'form', input: { title: 'a' } }] })
  for (const id of [running, finished]) {
    await using tab = await browser.open(`${service.url}/?run=${id}`)
    await tab.page.getByText('answer sent').waitFor()
    assert.equal(
      tab.wrongs.filter((line) => !line.includes('status of 429')),
      [],
    )
  }
})

test('the browser closes', async () => {
  await browser[Symbol.asyncDispose]()
})

test.run()
