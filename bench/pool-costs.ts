/**
 * The cost of the pool's safety measures: how soon a job notices its signal, a call of progress, and what the guard of
 * the main thread adds to a first job. `npm run bench:pool`
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/runtime/clock.ts'
import { createMainThreadGuard } from '../src/execution/main-thread/main-thread-guard.ts'
import { createLog } from '../src/log.ts'
import { createControlBlock, allocateControlBlock } from '../src/execution/pool/control-block.ts'
import { createPool, type Pool } from '../src/execution/pool/pool.ts'
import { watchIntrinsics } from '../src/execution/intrinsics.ts'
import { loadRegistry, type Registry } from '../src/tasks/registry.ts'

const rounds = 200
const calls = 1_000_000

const tasks = {
  'hears.mjs': `export default { kind: 'io', run: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)) }`,
  'polls.mjs': `export default { run: (_, { signal }) => { while (!signal.aborted); } }`,
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN
}

function share(part: number): string {
  return `${(part * 100).toFixed(2)} %`
}

const noSteps = { keep: async () => 'stale' as const, stored: async () => null }

/** Median milliseconds from asking a running job to stop to its outcome on the main thread. */
async function signalMs(pool: Pool, registry: Registry, name: string): Promise<number> {
  const task = registry.get(name)
  if (task === undefined) throw new Error(`no task ${name}`)
  const took: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const slot = pool.freeSlots().find(({ kind }) => kind === task.policy.kind)
    if (slot === undefined) throw new Error('no thread is free')
    const ids = { runId: `${round}`, jobIndex: 0, claim: 1, attempt: 1, maxAttempts: 1, lostStarts: 0, waitedMs: 0 }
    const job = { ...ids, task: name, kind: task.policy.kind, input: null, thread: slot.thread, timeoutMs: 60_000 }
    const running = pool.run(job, task, noSteps)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const askedAt = performance.now()
    running.release()
    await running.outcome
    took.push(performance.now() - askedAt)
  }
  return median(took)
}

/** Nanoseconds per call. */
function cost(call: () => unknown): number {
  for (let round = 0; round < calls / 10; round += 1) call()
  const startedAt = performance.now()
  for (let round = 0; round < calls; round += 1) call()
  return ((performance.now() - startedAt) / calls) * 1e6
}

const directory = mkdtempSync(join(tmpdir(), 'forerunner-bench-'))
for (const [file, text] of Object.entries(tasks)) writeFileSync(join(directory, file), text)
const log = createLog('silent')
const pool = createPool({ threads: 1, ioThreads: 1, ioConcurrency: 10, cancelGraceMs: 1_000, log })
try {
  const registry = await loadRegistry(directory)
  await pool.start()
  const heard = await signalMs(pool, registry, 'hears')
  const polled = await signalMs(pool, registry, 'polls')
  console.log(`stop to outcome, median of ${rounds}: ${heard.toFixed(2)} ms heard, ${polled.toFixed(2)} ms polled`)

  const control = createControlBlock(allocateControlBlock(1))
  let step = 0
  const plain = cost(() => control.setProgress(0, 0.5, ''))
  const told = cost(() => control.setProgress(0, 0.5, `step ${(step += 1)}`))
  const perSecond = 100_000
  console.log(
    `progress: ${plain.toFixed(0)} ns a call, ${told.toFixed(0)} ns with a new message; at ${perSecond} calls a second ` +
      `${share((plain * perSecond) / 1e9)} and ${share((told * perSecond) / 1e9)} of a core`,
  )

  const intrinsics = watchIntrinsics()
  const before = cost(intrinsics.findReplaced)
  const after = cost(intrinsics.findChanged)
  console.log(`look at the built-ins: ${before.toFixed(0)} ns before a job, ${after.toFixed(0)} ns after it`)

  const [task] = registry.all()
  if (task === undefined) throw new Error('no task')
  const guard = createMainThreadGuard({ budgetMs: 50, clock: systemClock, log })
  const run = (): number => (step += 1)
  const direct = cost(run)
  const fresh = performance.now()
  for (let call = 0; call < 20; call += 1) guard.call(task, run)
  const unproven = ((performance.now() - fresh) / 20) * 1e3
  const proven = cost(() => guard.call(task, run)) - direct
  console.log(
    `guard of a first job: ${unproven.toFixed(0)} µs a call until it has proven quick, ${proven.toFixed(0)} ns after`,
  )
} finally {
  await pool.stop()
  rmSync(directory, { recursive: true, force: true })
}
