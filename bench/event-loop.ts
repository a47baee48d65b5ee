/**
 * npm run bench:loop -- [--waves 60] [--connections 200]: does the event loop stay free while the pool is full of
 * CPU-bound jobs? Every connection asks for a quick first task again and again, pool idle and saturated, each on a
 * service of its own, whose GET /stats then tells the delay since it started. Exit code 1 when a request was not answered 200.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { forerunner } from './contenders/contenders.ts'
import { table } from './rig/figures.ts'
import { startGenerator, type LoadReport } from './rig/load.ts'
import { describeMachine } from './rig/machine.ts'
import { wholeNumber } from './rig/options.ts'
import { startServer, type Server, type Stats } from './rig/server.ts'

const { values } = parseArgs({
  options: { waves: { type: 'string', default: '60' }, connections: { type: 'string', default: '200' } },
})
const waves = wholeNumber('waves', values.waves)
const connections = wholeNumber('connections', values.connections)
const warmUpWaves = 10

const limitMs = 30
/** GET /stats forgets after a minute: a phase that takes longer would be told in part only. */
const maxPhaseMs = 58_000
const spinningRuns = 50
/** Together they keep every thread busy for 50 s, on any number of threads. */
const spinMsPerThread = 1_000
const saturationLimitMs = 10_000

interface Phase extends LoadReport {
  readonly name: string
  readonly delayMs: NonNullable<Stats['eventLoopDelayMs']>
}

async function saturate(server: Server): Promise<void> {
  const { threads } = await server.stats()
  const ms = spinMsPerThread * threads.filter(({ kind }) => kind === 'cpu').length
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ tasks: [{ name: 'spin', input: { ms } }], respond: 'none' }),
  }
  const answers = await Promise.all(
    Array.from({ length: spinningRuns }, () => fetch(`${server.url}/run-tasks`, request)),
  )
  if (answers.some(({ status }) => status !== 202)) throw new Error('a run with respond none was not answered 202')
  await untilSaturated(server)
}

/** Waits a little: a thread whose job has just ended gets its next one within a commit. */
async function untilSaturated(server: Server): Promise<void> {
  const deadline = performance.now() + saturationLimitMs
  for (;;) {
    const { threads, backlog } = await server.stats()
    const ofCpu = threads.filter(({ kind }) => kind === 'cpu')
    if (backlog > ofCpu.length && ofCpu.every(({ running }) => running > 0)) return
    if (performance.now() > deadline) throw new Error('a thread of the pool has nothing to do')
  }
}

async function measure(name: string, isPoolBusy: boolean): Promise<Phase> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const generator = stack.use(startGenerator())
  const startedAt = performance.now()
  const server = stack.use(await startServer(forerunner(directory)))
  const load = { url: `${server.url}/run-tasks`, body: JSON.stringify({ tasks: [{ name: 'first' }] }), connections }
  await generator.run({ ...load, until: { requests: warmUpWaves * connections } })
  if (isPoolBusy) await saturate(server)
  const report = await generator.run({ ...load, until: { requests: waves * connections } })
  if (isPoolBusy) await untilSaturated(server)
  const { eventLoopDelayMs: delayMs } = await server.stats()
  if (delayMs === undefined) throw new Error('GET /stats tells no event-loop delay')
  if (performance.now() - startedAt > maxPhaseMs) throw new Error(`too many waves for ${maxPhaseMs} ms`)
  return { ...report, name, delayMs }
}

const machine = describeMachine()
const phases = [await measure('idle', false), await measure('saturated', true)]

const head = ['pool', 'answered 200', 'delay p50 ms', 'delay p99 ms', 'delay max ms', 'answer p50 ms', 'answer p99 ms']
const rows = phases.map(({ name, ok, failed, delayMs, p50Ms, p99Ms }) => [
  name,
  `${ok} of ${ok + failed}`,
  ...[delayMs.p50, delayMs.p99, delayMs.max, p50Ms, p99Ms].map((ms) => ms.toFixed(1)),
])
const settings = `${waves} waves of ${connections} concurrent requests after ${warmUpWaves} waves of warm-up`
process.stdout.write(`${machine}\n${settings}\n\n${table(head, rows)}\n\n`)

const p99Ms = phases.at(-1)?.delayMs.p99 ?? Number.NaN
const verdict = p99Ms < limitMs ? 'held' : 'DID NOT HOLD'
process.stdout.write(
  `Limit of ${limitMs} ms for the p99 of the event-loop delay, saturated: ${verdict} (${p99Ms} ms)\n`,
)
if (phases.some(({ ok, failed }) => failed > 0 || ok !== waves * connections)) {
  process.stdout.write('FAILED: not every request was answered 200\n')
  process.exitCode = 1
}
