/** A real pool with the tasks of one directory: `await using pool = await openPool()`. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Outcome, StepKeeper } from '../../src/domain/claim.ts'
import { createLog, type Log } from '../../src/log.ts'
import type { Attempt } from '../../src/execution/executor.ts'
import type { Pool, PoolOptions } from '../../src/execution/pool/pool.ts'
import { loadRegistry } from '../../src/tasks/registry.ts'
import { within } from './child.ts'
import { until } from './until.ts'

export interface Ask {
  readonly task: string
  readonly input?: unknown
  readonly timeoutMs?: number
  readonly thread?: string
}

export interface OpenPool extends AsyncDisposable {
  readonly pool: Pool
  /** Starts a job on the named thread, or on the first of its kind with room; waits for room. */
  start(ask: Ask): Promise<Attempt>
  /** Starts a job on the named thread, or on the first of its kind with room; undefined if there is no room. */
  tryStart(ask: Ask): Attempt | undefined
  /** The outcome of a job, which must not be `released`. */
  outcomeOf(ask: Ask): Promise<Outcome>
  /** Loads the module of a task on a thread. */
  load(task: string): Promise<void>
  /** Resolves when every thread is ready and idle. */
  whole(): Promise<void>
}

const noSteps: StepKeeper = { keep: async () => 'stale', stored: async () => null }
const dist = new URL('../../dist/', import.meta.url)
const fixtureTasks = fileURLToPath(new URL('../fixtures/pool-tasks/', import.meta.url))

export interface OpenOptions extends Partial<PoolOptions> {
  /** Directory of the tasks. */
  readonly tasksDir?: string
  /** Directory of the compiled service. */
  readonly distDir?: string
  /** Stores the steps of all jobs; default: none can be stored. */
  readonly keeper?: StepKeeper
}

export async function openPool(options: OpenOptions = {}, log: Log = createLog('silent')): Promise<OpenPool> {
  const registry = await loadRegistry(options.tasksDir ?? fixtureTasks)
  // Compiled, as it is published: its threads start several times faster than from TypeScript.
  const built = pathToFileURL(join(options.distDir ?? fileURLToPath(dist), 'src/execution/pool/pool.js')).href
  const { createPool } = (await import(built)) as typeof import('../../src/execution/pool/pool.ts')
  const pool = createPool({
    flags: [],
    threads: 1,
    ioThreads: 1,
    ioConcurrency: 10,
    cancelGraceMs: 100,
    log,
    ...options,
  })
  await pool.start()
  let started = 0

  function tryStart({ task: name, input, timeoutMs = 10_000, thread }: Ask): Attempt | undefined {
    const task = registry.get(name)
    if (task === undefined) throw new Error(`no task ${name}`)
    const { kind } = task.policy
    const text = input === undefined ? null : JSON.stringify(input)
    started += 1
    const ids = {
      runId: `run-${started}`,
      jobIndex: 0,
      claim: 1,
      attempt: 1,
      maxAttempts: 1,
      lostStarts: 0,
      waitedMs: 0,
    }
    const slot = pool.freeSlots().find((free) => free.kind === kind && (thread === undefined || free.thread === thread))
    if (slot === undefined) return undefined
    const isIsolated = task.policy.isolation === 'process'
    if (isIsolated && pool.freeProcesses() === 0) return undefined
    const place = isIsolated ? slot.thread.replace('worker', 'process') : slot.thread
    // Taken in the same turn, before anything else can take it.
    const job = { ...ids, task: name, kind, input: text, thread: place, timeoutMs }
    const execution = pool.run(job, task, options.keeper ?? noSteps)
    return { ...execution, outcome: within(`${name} has an outcome`, execution.outcome) }
  }

  const start = (ask: Ask): Promise<Attempt> => until(`a thread has room for ${ask.task}`, () => tryStart(ask))

  return {
    pool,
    start,
    tryStart,
    async outcomeOf(ask) {
      const { outcome } = await start(ask)
      const ended = await outcome
      if (ended === 'released') throw new Error(`${ask.task} was released`)
      return ended
    },
    load: (name) => pool.load(registry.all().filter((task) => task.name === name)),
    async whole() {
      await until('every thread is ready', () =>
        pool.threads().every(({ state, running }) => state === 'ready' && running === 0),
      )
    },
    [Symbol.asyncDispose]: () => pool.stop(),
  }
}
