/**
 * The live page under load: frames per second of a real browser while 1,000 changes a second are committed, and the cost
 * of its reader for the service: the first response's p99 with and without it, in alternating rounds.
 * `npm run bench:page -- --seconds 10 --rounds 5`. A reader normally has another machine. Here the browser shares this one,
 * with the lowest priority, so that mainly the service's part is measured.
 */
import chromium from '@sparticuz/chromium'
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { createClient } from '../src/client/client.ts'
import { percentile } from '../src/cli/open-loop.ts'
import { startBrowser, type TestBrowser } from '../test/page/browser.ts'
import { forerunnerOnSqlite } from './contenders/contenders.ts'
import { format, median, pairedRatios, spread } from './rig/figures.ts'
import type { Generator } from './rig/load.ts'
import { openBench } from './rig/open-bench.ts'
import { wholeNumber } from './rig/options.ts'
import { startServer, type Server } from './rig/server.ts'

const options = { seconds: { type: 'string', default: '10' }, rounds: { type: 'string', default: '5' } } as const
const { values } = parseArgs({ options })
const seconds = wholeNumber('seconds', values.seconds)
const rounds = wholeNumber('rounds', values.rounds)

/** A run of three tasks is committed four times after it was accepted: a claim and three outcomes. */
const runsPerSecond = 250
const leastFps = 30
const mostRatio = 1.1
const jobsOfLargeRun = 1_000
const body = JSON.stringify({ tasks: [{ name: 'first' }, { name: 'second' }, { name: 'third' }] })

interface Frames {
  readonly perSecond: number
  /** Between two of them, in milliseconds. */
  readonly longestMs: number
}

/** As text: what compiles this file would write names into it that the page does not have. */
const countFrames = `new Promise((resolve) => {
  const begin = performance.now()
  let [last, longestMs, frames] = [begin, 0, 0]
  const next = () => {
    const now = performance.now()
    longestMs = Math.max(longestMs, now - last)
    last = now
    frames += 1
    if (now - begin < ${seconds * 1_000}) requestAnimationFrame(next)
    else resolve({ perSecond: (frames * 1000) / (now - begin), longestMs })
  }
  requestAnimationFrame(next)
})`

async function firstResponseP99(generator: Generator, { url }: Server): Promise<number> {
  const streams = [{ body, perSecond: runsPerSecond }]
  const { streams: reports } = await generator.offer({ url: `${url}/run-tasks`, seconds, streams })
  const [report] = reports
  if (report === undefined || report.failed > 0) throw new Error(`${report?.failed} requests failed`)
  return percentile(report.latenciesMs, 99)
}

/** Frames of one page while the load goes on. */
async function framesOf(browser: TestBrowser, generator: Generator, server: Server, query: string): Promise<Frames> {
  await using tab = await browser.open(`${server.url}/${query}`)
  await tab.page.locator('main h1').first().waitFor()
  const [frames] = await Promise.all([tab.page.evaluate<Frames>(countFrames), firstResponseP99(generator, server)])
  return frames
}

async function largeRun({ url }: Server): Promise<string> {
  // One after the other, until the frames are counted.
  const tasks = Array.from({ length: jobsOfLargeRun }, (_, index) => ({
    name: 'third',
    delayMs: Math.round((index * seconds * 1_000) / jobsOfLargeRun),
  }))
  const request = { method: 'POST', headers: { 'Content-Type': 'application/json' } }
  const response = await fetch(`${url}/run-tasks`, { ...request, body: JSON.stringify({ tasks, respond: 'none' }) })
  return ((await response.json()) as { readonly id: string }).id
}

await using bench = openBench(false)
const file = `${await bench.makeDirectory()}/forerunner.db`
await using server = await startServer(forerunnerOnSqlite(file, { MAX_TASKS_PER_RUN: String(jobsOfLargeRun) }))
await using generator = bench.startGenerator()
const program = process.env['CHROMIUM_PATH'] ?? (await chromium.executablePath())
const polite = `${await bench.makeDirectory()}/browser.sh`
await writeFile(polite, `#!/bin/sh\nexec nice -n 19 '${program}' "$@"\n`, { mode: 0o755 })
await using browser = await startBrowser(polite)
await firstResponseP99(generator, server)

/** What the list asks for while runs change, by a program: it draws nothing. */
async function readAsList(url: string, signal: AbortSignal): Promise<void> {
  const client = createClient({ baseUrl: url })
  let readAt = 0
  try {
    for await (const _ of client.watchRuns({ signal })) {
      if (performance.now() - readAt < 1_000) continue
      readAt = performance.now()
      await Promise.all([client.listRuns({}, { signal }), client.stats({ signal })])
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

const [alone, asked, read]: [number[], number[], number[]] = [[], [], []]
for (let round = 0; round < rounds; round += 1) {
  alone.push(await firstResponseP99(generator, server))
  const over = new AbortController()
  const reading = readAsList(server.url, over.signal)
  asked.push(await firstResponseP99(generator, server))
  over.abort()
  await reading
  await using reader = await browser.open(server.url)
  read.push(await firstResponseP99(generator, server))
  if (reader.wrongs.length > 0) bench.say(reader.wrongs.join('\n'))
  bench.say(
    `round ${round + 1}: p99 ${format(alone.at(-1) ?? 0, 2)} ms alone, ${format(asked.at(-1) ?? 0, 2)} ms with what the list asks for, ${format(read.at(-1) ?? 0, 2)} ms with a browser`,
  )
}
const ratio = median(pairedRatios(read, alone))

const pages: readonly (readonly [name: string, query: string])[] = [
  ['the list', ''],
  ['the overview', '?overview'],
  ['a task', '?about=second'],
]
const found: (readonly [string, Frames])[] = []
for (const [name, query] of pages) found.push([name, await framesOf(browser, generator, server, query)])
const large = `?run=${await largeRun(server)}`
found.push([`a run of ${format(jobsOfLargeRun)} jobs that goes on`, await framesOf(browser, generator, server, large)])
const isSlow = found.some(([, { perSecond }]) => perSecond < leastFps)

console.log(`${format(runsPerSecond * 4)} changes a second; ${bench.cores.text}`)
for (const [name, { perSecond, longestMs }] of found)
  console.log(`${name}: ${format(perSecond)} frames a second, the longest pause ${format(longestMs)} ms`)
console.log(`first response, p99: ${spread(alone, 2)} ms alone`)
console.log(
  `with what the list asks for: ${spread(asked, 2)} ms, ratio ${format(median(pairedRatios(asked, alone)), 2)}`,
)
console.log(`with a browser: ${spread(read, 2)} ms, ratio ${format(ratio, 2)}`)
if (isSlow) console.log(`missed: ${leastFps} frames a second`)
if (ratio > mostRatio) console.log(`missed: at most ${format((mostRatio - 1) * 100)} % more with a reader`)
process.exitCode = isSlow || ratio > mostRatio ? 1 : 0
