/** Takes the pictures of the live page that the documentation shows: `npm run screenshots`, into docs/. */
import { mkdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { BrowserContextOptions, Page } from 'playwright-core'
import sharp from 'sharp'
import { readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { startBrowser } from './browser.ts'

const docs = fileURLToPath(new URL('../../docs/page/', import.meta.url))
const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))

mkdirSync(docs, { recursive: true })
await using service = await startService({ tasksDir, threads: 2, maxTasksPerRun: 1_000 })
await using busy = await startService({ tasksDir, threads: 2, environment: 'production' })
const loaded = load(busy)
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
  await using tab = await browser.open(`${service.url}/${query}`, { reducedMotion: 'reduce', ...options })
  await prepare(tab.page)
  await take(tab.page, name)
  if (tab.wrongs.length > 0) console.error(name, tab.wrongs)
}

/** The overview's lines need a while. @returns its address, when there is enough to see */
async function load({ url, post }: Service): Promise<string> {
  const endAt = performance.now() + 100_000
  for (let round = 0; performance.now() < endAt; round += 1) {
    const runs = 1 + Math.round(3 * Math.abs(Math.sin(round / 90)))
    const charge =
      round % 9 === 0 ? [{ name: 'charge', input: { succeedsAt: 2 }, maxAttempts: round % 27 === 0 ? 1 : 3 }] : []
    const [user, password] = [`user-${round}@example.com`, 'correct horse']
    const login = round % 23 === 0 ? [{ name: 'login', input: { user, password, fails: true } }] : []
    const tasks = [
      { name: 'form', input: { title: 'a' } },
      { name: 'csv-peek', input: { csv: 'a,b\n1,2\n' } },
      ...charge,
      ...login,
    ]
    await Promise.all(Array.from({ length: runs }, () => post('/run-tasks', { tasks })))
    await pause(120)
  }
  const tasks = [
    { name: 'second', input: { ms: 60_000 } },
    { name: 'second', input: { ms: 60_000 } },
    { name: 'third' },
  ]
  await post('/run-tasks', { tasks, respond: 'none' })
  return url
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

const chain = await start({
  tasks: [
    { name: 'first' },
    { name: 'charge', input: { succeedsAt: 2 }, after: [0] },
    { name: 'second', input: { ms: 900 }, after: [0] },
    { name: 'third', after: [1, 2] },
    { name: 'csv-peek', input: { csv: 'a,b\n1,2\n' }, after: [3] },
  ],
  tags: ['order:40'],
})
await end(chain)
await picture('run-chain', `?run=${chain}&job=1`, shown('completed after'))
await picture('shortcuts', `?run=${chain}`, async (page) => {
  await page.getByText('answer sent').waitFor()
  await page.keyboard.press('?')
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
const race = [
  { name: 'second', input: { ms: 1_400 } },
  { name: 'second', input: { ms: 500 } },
  { name: 'charge', input: { succeedsAt: 2 } },
]
const raced = await start({ tasks: race, respond: 'race', tags: ['quotes'] })
await end(raced)
await picture('run-race', `?run=${raced}&job=1`, shown('won the race'))
await picture('run-zoomed', `?run=${running}&job=1`, async (page) => {
  await page.getByText('answer sent').waitFor()
  for (const key of ['+', '+', 'h', 'h']) await page.keyboard.press(key)
  await page.mouse.move(700, 372)
})
await until('errors can be found', async () =>
  (await (await service.get('/runs?q=declined')).text()).includes('charge'),
)
await picture('search', '?q=declined', (page) => page.locator('tbody tr').first().waitFor())

const many = await start({
  tasks: Array.from({ length: 1_000 }, (_, index) => ({
    name: index % 3 === 0 ? 'third' : 'csv-peek',
    input: { csv: 'a\n1' },
  })),
})
await end(many)
await picture('run-1000', `?run=${many}`, shown('answer sent'))

for (const [name, cron, timeZone] of [
  ['nightly-report', '0 3 * * *', 'Europe/Berlin'],
  ['invoices', '30 8 1 * *', 'America/New_York'],
  ['heartbeat', '*/5 * * * * *', 'UTC'],
]) {
  const request = {
    tasks: [
      { name: 'csv-peek', input: { csv: 'a\n1' } },
      { name: 'form', input: { title: 'a' } },
    ],
  }
  await service.fetch(`/schedules/${name}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ cron, timeZone, request }),
  })
}
await service.post('/schedules/invoices/pause')
await service.post('/schedules/heartbeat/run')
await until('the heartbeat has ticked', async () =>
  (await (await service.get('/schedules/heartbeat')).text()).includes('"lastRunId":"'),
)
await picture('schedules', '?schedules', shown('at 03:00 every day'))
await picture('schedules-phone', '?schedules', shown('at 03:00 every day'), phone)

const url = await loaded
for (const [name, options] of [
  ['task', {}],
  ['task-dark', dark],
  ['task-phone', phone],
] as const) {
  await using tab = await browser.open(`${url}/?about=charge`, options)
  await tab.page.getByText('card declined').first().waitFor()
  await take(tab.page, name, name !== 'task-phone')
}
for (const [name, options] of [
  ['overview', {}],
  ['overview-dark', dark],
  ['overview-phone', phone],
] as const) {
  await using tab = await browser.open(`${url}/?overview`, options)
  await tab.page.getByRole('region', { name: 'Tasks' }).waitFor()
  await take(tab.page, name, name !== 'overview-phone')
}
