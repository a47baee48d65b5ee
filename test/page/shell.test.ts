/** The live page in a real browser, against a real service: what is around its pages. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { shareService, startService } from '../harness/service.ts'
import { violationsOf } from './accessible.ts'
import { plainHost, startBrowser } from './browser.ts'
import { checkClean, laneOf, start, tasksDir } from './shared.ts'
import { startBalancer } from './balancer.ts'
import { startHost } from './host.ts'

/** For all of them; the last test closes it. */
const browser = await startBrowser()

test('shows its environment, lists its shortcuts, and draws the dependencies of a job', async () => {
  await using service = await startService({ tasksDir, environment: 'production' })
  const form = { name: 'form', input: { title: 'a' } }
  const id = await start(service, { tasks: [form, form, { ...form, after: [0, 1] }], respond: 'all' })
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  await page.locator('.environment.production').filter({ hasText: 'production' }).waitFor()
  await page.locator('.needs').nth(1).waitFor()
  assert.is(await page.locator('.needs').count(), 2)
  const [line, needed, waiting] = await Promise.all([
    page.locator('.needs').first().boundingBox(),
    laneOf(page, /^form/).nth(0).boundingBox(),
    laneOf(page, /^form/).nth(2).boundingBox(),
  ])
  const [top, bottom] = [line?.y ?? 0, (line?.y ?? 0) + (line?.height ?? 0)]
  assert.ok(
    top > (needed?.y ?? 0) && top < (needed?.y ?? 0) + (needed?.height ?? 0),
    'it begins at the job that was needed',
  )
  assert.ok(
    bottom > (waiting?.y ?? 0) && bottom < (waiting?.y ?? 0) + (waiting?.height ?? 0),
    'and ends at the one that needed it',
  )
  await page.keyboard.press('?')
  const sheet = page.getByRole('dialog', { name: 'Shortcuts' })
  await sheet.getByText('closer, wider, all').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.keyboard.press('g')
  assert.ok(page.url().includes(id), 'nothing below the sheet hears a key')
  await page.keyboard.press('Escape')
  await sheet.waitFor({ state: 'hidden' })
  await page.keyboard.press('g')
  await page.locator('tbody tr').first().waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('Enter')
  await page.getByText('answer sent').waitFor()
  checkClean(tab)

  await using plain = await browser.open(`${service.url.replace('127.0.0.1', plainHost)}/?run=${id}`)
  await plain.page.getByRole('button', { name: 'copy as curl' }).click()
  await plain.page.getByRole('button', { name: 'copied' }).waitFor()
  assert.is(await plain.page.evaluate('isSecureContext'), false)
  await plain.page.keyboard.press('g')
  await plain.page.getByRole('searchbox').click()
  await plain.page.keyboard.press('Control+V')
  assert.match(await plain.page.getByRole('searchbox').inputValue(), `${plainHost}:`)
  checkClean(plain)
})

test('asks for the key once, keeps it for the tab, and explains the limits of a read-only key', async () => {
  await using service = await startService({ tasksDir, apiKeys: ['writer'], apiKeysRead: ['reader'] })
  const id = await start(service, { tasks: [{ name: 'second', input: { ms: 60_000 } }], respond: 'none' }, 'writer')
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  await page.getByText('needs an API key').waitFor()
  await page.getByLabel('API key').fill('nonsense')
  await page.keyboard.press('Enter')
  await page.getByText('does not know this key').waitFor()
  await page.getByLabel('API key').fill('reader')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.getByRole('alert').filter({ hasText: 'this key may read' }).waitFor()
  assert.is(await page.getByRole('button', { name: 'as a command' }).count(), 0)
  await page.reload()
  await page.getByRole('heading', { name: /^No answer after/ }).waitFor()
  assert.equal(
    tab.wrongs.filter((line) => !/status of 40[13]/.test(line)),
    [],
  )
})

test('works below a prefix, and continues after a restart of the service', async () => {
  await using host = await startHost()
  await using tab = await browser.open(`${host.url}/jobs`)
  const { page } = tab
  await page.getByText('No runs yet').waitFor()
  assert.is(page.url(), `${host.url}/jobs/`)
  await page.keyboard.press('n')
  await page.getByLabel('▸ Answers').selectOption('form')
  await page.getByLabel('title *').fill('below')
  await page.getByRole('button', { name: 'Start this run' }).click()
  await page.getByText('answer sent').waitFor()
  assert.match(page.url(), `${host.url}/jobs/?run=`)
  await page.getByText('copy as curl').waitFor()
  await page.getByRole('link', { name: 'Runs', exact: true }).first().click()
  await page.locator('tbody tr').first().waitFor()

  await host.pause()
  await page.getByText('reconnecting').waitFor()
  await host.resume()
  await page.getByText('live', { exact: true }).waitFor()
  assert.equal(
    tab.wrongs.filter((line) => !line.includes('net::ERR_')),
    [],
  )
})

test('loads while another version, which has none of its assets, answers every other request', async () => {
  await using service = await startService({ tasksDir })
  await using balancer = await startBalancer(service.url)
  await using tab = await browser.open(balancer.url)
  await tab.page.getByText('No runs yet').waitFor()
  assert.ok(balancer.misses() > 1, `${balancer.misses()} assets were asked of the other version`)
  checkClean(tab)
})

test('is used with the keyboard alone', async () => {
  await using service = await shareService({ tasksDir })
  await using tab = await browser.open(service.url)
  const { page } = tab
  await page.getByText('No runs yet').waitFor()
  await page.keyboard.press('n')
  await page.getByRole('button', { name: 'Start', exact: true }).first().focus()
  await page.keyboard.press('Enter')
  await page.getByText('answer sent').waitFor()
  await page.keyboard.press('j')
  await page.getByRole('region', { name: 'Job 1, second' }).waitFor()
  await page.keyboard.press('t')
  await page.getByRole('table').filter({ hasText: 'worker-' }).waitFor()
  await page.keyboard.press('g')
  await page.locator('tbody tr').first().waitFor()
  checkClean(tab)
})

test('the browser closes', async () => {
  await browser[Symbol.asyncDispose]()
})

test.run()
