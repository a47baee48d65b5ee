/** The live page in a real browser, against a real service: the list and the overview. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { violationsOf } from './accessible.ts'
import { startBrowser } from './browser.ts'
import { checkClean, start, tasksDir } from './shared.ts'

/** For all of them; the last test closes it. */
const browser = await startBrowser()

test('the list counts new runs and does not move; filters are in the address and survive a reload', async () => {
  await using service = await startService({ tasksDir })
  await start(service, { tasks: [{ name: 'form', input: { title: 'a' } }], tags: ['blue'] })
  await start(service, { tasks: [{ name: 'charge', maxAttempts: 1 }] }).catch(() => {})
  await using tab = await browser.open(service.url)
  const { page } = tab
  await page.locator('tbody tr').nth(1).waitFor()
  assert.equal(await violationsOf(page), [])
  await start(service, { tasks: [{ name: 'form', input: { title: 'b' } }] })
  await page.getByRole('button', { name: '1 new' }).waitFor()
  assert.is(await page.locator('tbody tr').count(), 2)
  await page.getByRole('button', { name: '1 new' }).click()
  assert.is(await page.locator('tbody tr').count(), 3)

  await page.getByRole('button', { name: '✕ failed' }).click()
  await page.locator('tbody tr').first().filter({ hasText: 'charge' }).waitFor()
  await until('one run is left', async () => (await page.locator('tbody tr').count()) === 1)
  await page.reload()
  await page.locator('tbody tr').first().filter({ hasText: 'charge' }).waitFor()
  assert.is(await page.getByRole('button', { name: '✕ failed' }).getAttribute('aria-pressed'), 'true')
  assert.ok(page.url().includes('state=failed'))
  await page.getByLabel('Tag').fill('blue')
  await page.getByLabel('Tag').press('Enter')
  await page.getByText('No run matches').waitFor()
  await page.getByRole('link', { name: 'Show all runs' }).click()
  await page.locator('tbody tr').nth(2).waitFor()
  await page.getByLabel('Accepted', { exact: true }).selectOption('1h')
  await until('the hour is in the address', () => page.url().includes('since=1h'))
  await page.getByRole('button', { name: 'Cancel all running…' }).waitFor()
  assert.is(await page.locator('tbody tr').count(), 3)
  await page.getByLabel('Accepted', { exact: true }).selectOption('between…')
  await page.getByLabel('Accepted before').fill('2001-02-03T04:05')
  await page.getByText('No run matches').waitFor()
  await page.reload()
  assert.is(await page.getByLabel('Accepted before').inputValue(), '2001-02-03T04:05')
  checkClean(tab)
})

test('one stream serves all tabs of a browser, the list can be paused, and a tab that is left takes over', async () => {
  await using service = await startService({ tasksDir })
  const run = { tasks: [{ name: 'form', input: { title: 'a' } }] }
  await start(service, run)
  await using tab = await browser.open(service.url)
  const first = tab.page
  await first.locator('tbody tr').first().waitFor()
  const second = await first.context().newPage()
  await second.goto(service.url)
  await second.locator('tbody tr').first().waitFor()
  await start(service, run)
  for (const page of [first, second]) await page.getByRole('button', { name: '1 new' }).waitFor()
  const metrics = await (await service.get('/metrics')).text()
  assert.match(metrics, /^forerunner_event_streams 1$/m)

  await second.keyboard.press('p')
  await second.getByRole('button', { name: 'Paused' }).waitFor()
  await start(service, run)
  await first.getByRole('button', { name: '2 new' }).waitFor()
  assert.ok(await second.getByRole('button', { name: '1 new' }).isVisible(), 'what is paused stays')
  await second.keyboard.press('p')
  await second.getByRole('button', { name: '2 new' }).waitFor()
  await first.close()
  await start(service, run)
  await second.getByRole('button', { name: '3 new' }).waitFor()
  checkClean(tab)
})

test('finds runs by the text of an error while it is typed, and keeps it over a reload', async () => {
  await using service = await startService({ tasksDir })
  await start(service, { tasks: [{ name: 'form', input: { title: 'a card' } }] })
  await start(service, { tasks: [{ name: 'charge', maxAttempts: 1 }], respond: 'none' })
  await until('the run can be found', async () =>
    (await (await service.get('/runs?q=declined')).text()).includes('charge'),
  )
  await using tab = await browser.open(service.url)
  const { page } = tab
  const rows = page.locator('tbody tr')
  await rows.nth(1).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('paymenterr')
  await until('one run is left', async () => (await rows.count()) === 1)
  await page.keyboard.type('or decl')
  await until('both words are in the address', () => page.url().includes('q=paymenterror+decl'))
  await page.reload()
  await rows.filter({ hasText: 'charge' }).waitFor()
  assert.is(await rows.count(), 1)
  assert.is(await page.getByLabel('Search').inputValue(), 'paymenterror decl')
  await page.getByRole('button', { name: 'Retry all failed…' }).click()
  await page.getByText('Retry 1 failed run with the words “paymenterror decl”?').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.getByLabel('Search').fill('nothing has this')
  await page.getByText('No run matches').waitFor()
  await page.getByLabel('Search').press('Escape')
  await until('both are back', async () => (await rows.count()) === 2)
  checkClean(tab)
})

test('says that a service has no search, and keeps the list', async () => {
  await using service = await startService({ tasksDir, searchIndex: false })
  await start(service, { tasks: [{ name: 'form', input: { title: 'a' } }] })
  await using tab = await browser.open(service.url)
  const { page } = tab
  await page.locator('tbody tr').first().waitFor()
  await page.getByLabel('Search').fill('words')
  await page.getByRole('alert').filter({ hasText: 'this service has no search' }).waitFor()
  assert.is(await page.locator('tbody tr').count(), 1)
  await page.reload()
  await page.getByRole('alert').filter({ hasText: 'this service has no search' }).waitFor()
  await page.getByRole('heading', { name: 'Runs', exact: true }).waitFor()
  assert.equal(
    tab.wrongs.filter((line) => !line.includes('status of 400')),
    [],
  )
})

test('retries everything that matches, with its number before', async () => {
  await using service = await startService({ tasksDir })
  const failing = { tasks: [{ name: 'charge', maxAttempts: 1 }], respond: 'none', tags: ['bulk'] }
  const ids = await Promise.all([start(service, failing), start(service, failing)])
  await start(service, { tasks: [{ name: 'form', input: { title: 'a' } }], tags: ['bulk'] })
  for (const id of ids) await (await service.get(`/runs/${id}/events`)).text()
  await using tab = await browser.open(`${service.url}/?tag=bulk`)
  const { page } = tab
  await page.getByRole('button', { name: 'Cancel all running…' }).click()
  await page.getByText('No running run matches.').waitFor()
  await page.getByRole('button', { name: 'Retry all failed…' }).click()
  await page.getByText('Retry 2 failed runs tagged bulk?').waitFor()
  await page.getByText('forerunner retry --state failed --tag bulk').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.getByRole('button', { name: 'Retry 2' }).click()
  await page.getByText('2 runs queued again.').waitFor()
  for (const id of ids) {
    const [job] = (await readRun(await service.get(`/runs/${id}`))).jobs
    assert.ok((job?.queuedAt ?? '') > (job?.failures?.[0]?.finishedAt ?? 'z'), 'it was queued after it had failed')
  }
  checkClean(tab)
})

test('the overview shows what the threads are running, the figures of the tasks, and that nothing is lost', async () => {
  await using service = await startService({ tasksDir })
  const id = await start(service, { tasks: [{ name: 'first' }, { name: 'second', input: { ms: 60_000 } }] })
  await using tab = await browser.open(service.url)
  const { page } = tab
  await page.locator('tbody tr').first().waitFor()
  await page.keyboard.press('o')
  await page
    .getByRole('heading', { name: /^1 job running, nothing waits; half of the answers leave within / })
    .waitFor()
  await page.getByText('lost: 2 accepted = 1 final + 1 live').waitFor()
  await page.getByRole('region', { name: 'Tasks' }).getByRole('row').filter({ hasText: 'first' }).waitFor()
  await page.getByText('The process started.').waitFor()
  assert.equal(await violationsOf(page), [])
  await page
    .getByRole('region', { name: 'Threads' })
    .getByRole('link', { name: /second/ })
    .click()
  await page.getByRole('region', { name: 'Job 1, second' }).waitFor()
  assert.ok(page.url().includes(id))
  checkClean(tab)
})

test('the browser closes', async () => {
  await browser[Symbol.asyncDispose]()
})

test.run()
