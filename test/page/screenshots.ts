/** Takes the pictures of the live page that the documentation shows: `npm run screenshots`, into docs/. */
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { BrowserContextOptions, Page } from 'playwright-core'
import sharp from 'sharp'
import { readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { startBrowser } from './browser.ts'

const docs = fileURLToPath(new URL('../../docs/page/', import.meta.url))
const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))

mkdirSync(docs, { recursive: true })
await using service = await startService({ tasksDir, threads: 2 })
await using browser = await startBrowser()

const recipe = [{ name: 'first' }, { name: 'second', input: { ms: 4_000 } }, { name: 'third' }]
const order = [
  { name: 'first' },
  { name: 'charge', input: { succeedsAt: 3 } },
  { name: 'charge', input: { succeedsAt: 9 }, maxAttempts: 3 },
  { name: 'second', input: { ms: 1_200 } },
  { name: 'third', delayMs: 700 },
]

async function start(body: object): Promise<string> {
  return (await readRun(await service.post('/run-tasks', body))).id
}

async function end(id: string): Promise<void> {
  await (await service.get(`/runs/${id}/events`)).text()
}

/** In few colours: the page has few, and a picture is a third as large. */
async function take(page: Page, name: string, fullPage = false): Promise<void> {
  const png = await page.screenshot({ fullPage })
  await sharp(png).png({ palette: true, colours: 128, effort: 10 }).toFile(`${docs}${name}.png`)
}

async function picture(
  name: string,
  query: string,
  prepare: (page: Page) => Promise<unknown>,
  options: BrowserContextOptions = {},
): Promise<void> {
  await using tab = await browser.open(`${service.url}/${query}`, options)
  await prepare(tab.page)
  await take(tab.page, name)
  if (tab.wrongs.length > 0) console.error(name, tab.wrongs)
}

const dark = { colorScheme: 'dark' } as const
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 } as const
const shown = (text: string) => (page: Page) => page.getByText(text).first().waitFor()

await picture('empty', '', shown('No runs yet'))
const failed = await start({ tasks: order, tags: ['order:41', 'eu'] })
const running = await start({ tasks: [...recipe, ...order.slice(1)], tags: ['order:42'] })
await picture('run-running', `?run=${running}`, async (page) => {
  await page.getByText('answer sent').waitFor()
  await page.waitForTimeout(1_500)
})
await end(failed)
await picture('run-failed', `?run=${failed}`, shown('PaymentError'))
await picture('run-failed-dark', `?run=${failed}`, shown('PaymentError'), dark)
await end(running)
await picture('run-finished', `?run=${running}`, shown('failed after'))
await picture('run-phone', `?run=${running}`, shown('failed after'), phone)

await picture('run-table', `?run=${running}`, async (page) => {
  await page.getByText('failed after').first().waitFor()
  await page.keyboard.press('t')
})

await using starter = await browser.open(`${service.url}/?start`)
await starter.page.getByRole('button', { name: 'Start', exact: true }).nth(1).click()
await starter.page.getByText('answer sent').waitFor()
await starter.page.getByRole('button', { name: /csv-chart/ }).click()
await starter.page.getByRole('img', { name: /csv-chart/ }).waitFor()
await take(starter.page, 'run-csv', true)

const cancelled = await start({ tasks: [{ name: 'first' }, { name: 'second' }], tags: ['order:43'] })
await service.post(`/runs/${cancelled}/cancel`)
await start({ tasks: [{ name: 'second', input: { ms: 60_000 } }, { name: 'third' }], respond: 'none', tags: ['night'] })
for (const size of [2, 12]) {
  const peeks = Array.from({ length: size }, () => ({ name: 'csv-peek', input: { csv: 'a,b\n1,2\n' } }))
  await end(await start({ tasks: peeks, tags: ['upload', 'eu', 'batch:7'] }))
}
await start({ tasks: recipe, tags: ['order:44'] })
await picture('runs', '', shown('order:44'))
await picture('runs-bulk', '?state=failed', async (page) => {
  await page.getByRole('button', { name: 'Retry all failed…' }).click()
  await page.getByText('failed runs?').waitFor()
})
await picture('runs-dark', '', shown('order:44'), dark)
await picture('runs-phone', '', shown('first, second'), phone)
await picture('start', '?start', shown('jq -Rs'))
const many = await start({
  tasks: Array.from({ length: 90 }, (_, index) => ({
    name: index % 3 === 0 ? 'third' : 'csv-peek',
    input: { csv: 'a\n1' },
  })),
})
await picture('run-90', `?run=${many}`, async (page) => {
  await page.getByText('answer sent').waitFor()
  await page.waitForTimeout(500)
})
