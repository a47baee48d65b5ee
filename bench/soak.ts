/**
 * Tasks that misbehave in every known way, at random and mixed with good ones, against the real service for five minutes.
 * At the end the service must be alive and intact, every job final, and memory as before; otherwise the exit code is 1.
 * `npm run soak -- --seconds 300 --seed 1`
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { misbehaviours } from '../test/fixtures/misbehaviours.ts'
import { startEnv, startFlags } from './contenders/contenders.ts'
import { wholeNumber } from './rig/options.ts'
import { startServer, type Server } from './rig/server.ts'

const options = { seconds: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' } } as const
const { values } = parseArgs({ options })
const seconds = wholeNumber('seconds', values.seconds)
const seed = wholeNumber('seed', values.seed)

const threads = 2
const runsAtOnce = 8
/** Measured after each way has run once, when the allocators have reached their maximum. */
const warmUpRuns = 150
/** V8 returns the memory of ended threads to the system about ten seconds later. */
const restMs = 12_000
const memoryTolerance = 1.2
const threadsSchema = z.object({ threads: z.array(z.object({ state: z.string(), running: z.number() })) })
const jobsSchema = z.object({ jobs: z.record(z.string(), z.number()) })

/** Mulberry32: small, seeded, and uniform enough to pick from a list. */
function createRandom(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const root = fileURLToPath(new URL('../', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'forerunner-soak-'))
const random = createRandom(seed)
const pick = <Value>(list: readonly Value[]): Value => list[Math.floor(random() * list.length)] as Value
const ways = Object.keys(misbehaviours)
const answerMs: number[] = []

// Without a memory watch on shared threads, a hoard ends at V8's limit, which can end the whole process.
const bad = ways.flatMap((input) =>
  ['misbehave-cpu', ...(/hoard|parses/.test(input) ? [] : ['misbehave-io'])].map((name) => ({
    name,
    input,
    timeoutMs: 300,
    maxAttempts: 1,
  })),
)

/** Half of the tasks are good, so that there are always neighbours to harm. */
function anyTask(): object {
  return random() < 0.5 ? pick([{ name: 'good-cpu' }, { name: 'good-io', input: 20 }]) : pick(bad)
}

/** Runs the tasks after a good first one, whose answer must come whatever they do. */
async function post(url: string, tasks: readonly object[]): Promise<void> {
  const body = JSON.stringify({ tasks: [{ name: 'good-cpu', input: 'answer' }, ...tasks] })
  const startedAt = performance.now()
  const response = await fetch(`${url}/run-tasks`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body,
  })
  const run: unknown = await response.json()
  answerMs.push(performance.now() - startedAt)
  if (response.status !== 200 || Reflect.get(Object(run), 'result') !== 'answer') {
    throw new Error(`POST /run-tasks was answered ${response.status} ${JSON.stringify(run)}`)
  }
}

/** Keeps a few runs waiting, so that the threads are always busy. */
async function load(server: Server, next: (posted: number) => readonly object[] | null): Promise<number> {
  for (let posted = 0; ; posted += 1) {
    while ((await server.stats()).backlog > runsAtOnce * 3) await sleep(20)
    const tasks = next(posted)
    if (tasks === null) {
      await server.drained()
      return posted
    }
    await post(server.url, tasks)
  }
}

/** Memory after a rest. */
async function restedMb(pid: number): Promise<number> {
  await sleep(restMs)
  const looks: number[] = []
  for (let look = 0; look < 10; look += 1) {
    looks.push(residentMb(pid))
    await sleep(100)
  }
  return Math.min(...looks)
}

function residentMb(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kilobytes) / 1_024)
}

async function wholeThreads(url: string): Promise<string> {
  for (let look = 0; ; look += 1) {
    const { threads: seen } = threadsSchema.parse(await (await fetch(`${url}/stats`)).json())
    const ready = seen.filter(({ state, running }) => state === 'ready' && running === 0).length
    if (ready === seen.length || look > 1_000) return `${ready} of ${seen.length}`
    await sleep(10)
  }
}

async function replacedThreads(url: string): Promise<string> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const lines = [...text.matchAll(/^forerunner_pool_replaced_threads_total\{cause="(\w+)"\} (\d+)$/gm)]
  return lines.map(([, cause, count]) => `${cause} ${count}`).join(', ')
}

function percentile(part: number): string {
  const sorted = answerMs.toSorted((one, other) => one - other)
  return `${(sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN).toFixed(1)} ms`
}

// Only these: memory of other tasks would hide growth.
const tasksDir = join(directory, 'tasks')
mkdirSync(tasksDir)
for (const name of ['good-cpu', 'good-io', 'misbehave-cpu', 'misbehave-io']) {
  const url = new URL(`../test/fixtures/pool-tasks/${name}.ts`, import.meta.url).href
  writeFileSync(join(tasksDir, `${name}.mjs`), `export { default } from '${url}'\n`)
}
const env = {
  DATABASE_URL: `sqlite:${join(directory, 'soak.db')}`,
  TASKS_DIR: tasksDir,
  THREADS: String(threads),
  CANCEL_GRACE_MS: '100',
  // Otherwise glibc keeps so much freed memory that growth would be invisible.
  ...startEnv,
}
try {
  await using server = await startServer({
    name: 'forerunner',
    entry: join(root, 'dist/src/main.js'),
    flags: startFlags,
    env,
    jobsPerRun: 4,
  })
  console.log(`seed ${seed}, ${seconds} s, ${ways.length} ways to misbehave on ${threads} cpu threads and 1 io thread`)
  const anyTasks = (): object[] => [anyTask(), anyTask(), anyTask()]
  // Each way once, then at random.
  const warmUp = bad.length + warmUpRuns
  await load(server, (posted) => {
    const way = bad[posted]
    if (way !== undefined) return [way]
    return posted < warmUp ? anyTasks() : null
  })
  const startMb = await restedMb(server.pid)
  const before = await replacedThreads(server.url)
  answerMs.length = 0
  const endAt = performance.now() + seconds * 1_000
  const posted = await load(server, () => (performance.now() > endAt ? null : anyTasks()))
  const whole = await wholeThreads(server.url)
  const endMb = await restedMb(server.pid)
  const { conservation } = await server.stats()
  const { jobs } = jobsSchema.parse(await (await fetch(`${server.url}/stats`)).json())
  console.log(`runs ${posted + warmUp}, jobs ${JSON.stringify(jobs)}, conservation ${JSON.stringify(conservation)}`)
  console.log(`answers: p50 ${percentile(0.5)}, p99 ${percentile(0.99)}, max ${percentile(1)}`)
  console.log(
    `threads ready ${whole}; replaced in the warm-up: ${before}; in all: ${await replacedThreads(server.url)}`,
  )
  console.log(`resident memory at rest ${startMb} MB after the warm-up, ${endMb} MB at the end`)
  const isWhole = whole === `${threads + 1} of ${threads + 1}`
  const isWell = isWhole && conservation.lost === 0 && conservation.live === 0 && endMb <= startMb * memoryTolerance
  console.log(isWell ? 'held' : 'DID NOT HOLD')
  process.exitCode = isWell ? 0 : 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
