/**
 * Tasks that misbehave in every known way, at random and beside good ones, against the real service for five minutes:
 * at its end the service must be alive and whole, every job final, and memory as it was. Exit code 1 when it is not.
 * `npm run soak -- --seconds 300 --seed 1`
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { misbehaviours } from '../test/fixtures/misbehaviours.ts'
import { wholeNumber } from './rig/options.ts'
import { startServer, type Server } from './rig/server.ts'

const options = { seconds: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' } } as const
const { values } = parseArgs({ options })
const seconds = wholeNumber('seconds', values.seconds)
const seed = wholeNumber('seed', values.seed)

const threads = 2
const runsAtOnce = 8
const warmUpRuns = 40
const memoryTolerance = 1.2
const runSchema = z.object({ id: z.string() })
const threadsSchema = z.object({ threads: z.array(z.object({ state: z.string(), running: z.number() })) })
const jobsSchema = z.object({ jobs: z.record(z.string(), z.number()) })

/** Mulberry32: small, seeded, and even enough to pick from a list. */
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

/** Half of the tasks are good, so that there are always neighbours to hurt. */
function anyTask(): object {
  if (random() < 0.5) return pick([{ name: 'good-cpu' }, { name: 'good-io', input: 20 }])
  const name = pick(['misbehave-cpu', 'misbehave-io'])
  // Without a watch on shared threads a hoard ends with V8's limit, which can take the whole process.
  const fitting = name === 'misbehave-io' ? ways.filter((way) => !/hoard|parses/.test(way)) : ways
  return { name, input: pick(fitting), timeoutMs: 300, maxAttempts: 1 }
}

async function post(url: string): Promise<void> {
  const body = JSON.stringify({ respond: 'none', tasks: [anyTask(), anyTask(), anyTask()] })
  const response = await fetch(`${url}/run-tasks`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body,
  })
  if (response.status !== 202) throw new Error(`POST /run-tasks was answered ${response.status}`)
  runSchema.parse(await response.json())
}

/** Keeps a few runs waiting, so that the threads are always busy. */
async function load(server: Server, isOver: (posted: number) => boolean): Promise<number> {
  let posted = 0
  while (!isOver(posted)) {
    const { backlog } = await server.stats()
    if (backlog > runsAtOnce * 3) {
      await sleep(20)
      continue
    }
    await post(server.url)
    posted += 1
  }
  await server.drained()
  return posted
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

const env = {
  DATABASE_URL: `sqlite:${join(directory, 'soak.db')}`,
  TASKS_DIR: join(root, 'test/fixtures/pool-tasks'),
  THREADS: String(threads),
  CANCEL_GRACE_MS: '100',
}
try {
  await using server = await startServer({
    name: 'forerunner',
    entry: join(root, 'dist/src/main.js'),
    env,
    jobsPerRun: 3,
  })
  console.log(`seed ${seed}, ${seconds} s, ${ways.length} ways to misbehave on ${threads} cpu threads and 1 io thread`)
  await load(server, (posted) => posted >= warmUpRuns)
  const startMb = residentMb(server.pid)
  const endAt = performance.now() + seconds * 1_000
  const posted = await load(server, () => performance.now() > endAt)
  const whole = await wholeThreads(server.url)
  const { conservation } = await server.stats()
  const { jobs } = jobsSchema.parse(await (await fetch(`${server.url}/stats`)).json())
  const endMb = residentMb(server.pid)
  console.log(`runs ${posted + warmUpRuns}, jobs ${JSON.stringify(jobs)}, conservation ${JSON.stringify(conservation)}`)
  console.log(`threads ready ${whole}; resident memory ${startMb} MB after the warm-up, ${endMb} MB at the end`)
  const isWhole = whole === `${threads + 1} of ${threads + 1}`
  const isWell = isWhole && conservation.lost === 0 && conservation.live === 0 && endMb <= startMb * memoryTolerance
  console.log(isWell ? 'held' : 'DID NOT HOLD')
  process.exitCode = isWell ? 0 : 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
