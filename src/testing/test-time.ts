/** Moves the clock of a service in a test, and waits for what becomes of its jobs by then. */
import type { RunView } from '../http/views/run.ts'
import type { Forerunner } from '../library/forerunner.ts'
import type { InlinePool, TestClock } from './inline-pool.ts'

type Job = RunView['jobs'][number]

export interface LimitOptions {
  /** How long it may take in the time of the system before it throws, in milliseconds; default 5 000. */
  readonly limitMs?: number
}

export interface WaitOptions extends LimitOptions {
  /** The state of this job, in place of that of the run. */
  readonly jobIndex?: number
}

/** How many runs of the service have ended so far, and how. */
export type DrainReport = Readonly<Record<Exclude<RunView['state'], 'running'>, number>>

export interface TestTime {
  /** What the clock shows, in epoch milliseconds. */
  now(): number
  /**
   * Moves the clock ahead. It stops at each tick, each delay, each wait for a retry and each time limit that ends by then, for what
   * follows from it to follow. An attempt that does not end within 100 ms in the time of the system is passed over.
   */
  advance(ms: number, options?: LimitOptions): Promise<void>
  /** Moves the clock to each job that waits for its time, until all runs have ended, or wait for paused tasks alone. */
  drain(options?: LimitOptions): Promise<DrainReport>
  /**
   * Resolves to the run when it, or one of its jobs, is in this state. The clock stands still.
   * @throws Error where it has ended in another one
   */
  waitFor(
    run: string | Pick<RunView, 'id'>,
    state: RunView['state'] | Job['state'],
    options?: WaitOptions,
  ): Promise<RunView>
}

export interface TestTimeOptions {
  readonly forerunner: Forerunner
  readonly clock: TestClock
  readonly pool: InlinePool
}

/** Jobs that have not ended. */
interface Open {
  readonly runs: readonly RunView[]
  /** Whether something is under way, or is due and about to be. */
  readonly isBusy: boolean
  /** When the next job is due that is not yet; null where none waits. */
  readonly nextDueAt: number | null
  /** The next tick of a schedule; Infinity without one. */
  readonly nextTickAt: number
}

const patienceMs = 100
/** Not all that is waited for is an event, and a test can take away all listeners of events. */
const maxPauseMs = 100
const finalStates: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

export function createTestTime({ forerunner, clock, pool }: TestTimeOptions): TestTime {
  let changes = 0
  let { promise: changed, resolve: tell } = Promise.withResolvers<void>()
  forerunner.events.on('change', () => {
    changes += 1
    tell()
    ;({ promise: changed, resolve: tell } = Promise.withResolvers<void>())
  })

  async function look(): Promise<Open> {
    const ticks = (await forerunner.listSchedules()).flatMap(({ nextAt }) =>
      nextAt === null ? [] : Date.parse(nextAt),
    )
    const runs: RunView[] = []
    for await (const run of forerunner.allRuns({ state: 'running' })) runs.push(run)
    const jobs = runs.flatMap((run) => run.jobs)
    const dues = jobs.flatMap((job) => dueAtOf(job) ?? [])
    const later = dues.filter((at) => at > clock.now())
    return {
      runs,
      isBusy:
        jobs.some(({ state }) => state === 'running') ||
        later.length < dues.length ||
        ticks.some((at) => at <= clock.now()),
      nextDueAt: later.length === 0 ? null : Math.min(...later),
      nextTickAt: Math.min(...ticks.filter((at) => at > clock.now())),
    }
  }

  /** Looks after each change until it has seen enough. */
  async function until<Seen>(see: () => Promise<Seen | undefined>, limitMs: number): Promise<Seen | undefined> {
    const endAt = performance.now() + limitMs
    for (;;) {
      const before = changes
      const next = changed
      const seen = await see()
      if (seen !== undefined) return seen
      const leftMs = endAt - performance.now()
      if (leftMs <= 0) return undefined
      if (changes === before) await within(next, Math.min(leftMs, maxPauseMs))
    }
  }

  function moveTo(at: number): void {
    clock.moveTo(at)
    pool.clockMoved()
  }

  const idle = async (): Promise<Open | undefined> => {
    const open = await look()
    return open.isBusy ? undefined : open
  }

  async function waitFor(id: string, state: string, jobIndex: number | undefined): Promise<RunView | undefined> {
    const run = await forerunner.getRun(id)
    const found = jobIndex === undefined ? run : run.jobs[jobIndex]
    if (found === undefined) throw new RangeError(`the run ${id} has no job ${jobIndex}`)
    if (found.state === state) return run
    if (!finalStates.has(found.state)) return undefined
    const what = jobIndex === undefined ? `the run ${id}` : `job ${jobIndex} of the run ${id}`
    throw new Error(`${what} is ${found.state}, and will not be ${state}${reasonOf(run, jobIndex)}`)
  }

  return {
    now: clock.now,
    async advance(ms, { limitMs = defaultLimitMs } = {}) {
      if (!(ms >= 0)) throw new RangeError(`the clock cannot be moved by ${ms} ms`)
      const target = clock.now() + ms
      const endAt = performance.now() + limitMs
      for (;;) {
        const open = (await until(idle, patienceMs)) ?? (await look())
        const ahead = [open.nextDueAt, open.nextTickAt, pool.nextTimeoutAt()].filter(
          (at) => at !== null && at <= target,
        )
        if (ahead.length === 0) return moveTo(target)
        if (performance.now() > endAt) throw tooLong(`advance(${ms})`, limitMs, open)
        moveTo(Math.min(...ahead.filter((at) => at !== null)))
      }
    },
    async drain({ limitMs = defaultLimitMs } = {}) {
      const endAt = performance.now() + limitMs
      for (;;) {
        const open = await until(idle, endAt - performance.now())
        if (open === undefined || performance.now() > endAt) throw tooLong('drain()', limitMs, await look())
        if (open.nextDueAt === null) break
        moveTo(open.nextDueAt)
      }
      const { completed, failed, cancelled } = (await forerunner.stats()).runs
      return { completed, failed, cancelled }
    },
    async waitFor(run, state, { jobIndex, limitMs = defaultLimitMs } = {}) {
      const id = typeof run === 'string' ? run : run.id
      const found = await until(() => waitFor(id, state, jobIndex), limitMs)
      if (found !== undefined) return found
      throw tooLong(`waitFor(${JSON.stringify(state)})`, limitMs, { runs: [await forerunner.getRun(id)] })
    },
  }
}

const defaultLimitMs = 5_000

/** When a waiting job can start: beyond its task's rate not yet when it is due, and not at all while its task is paused. */
function dueAtOf({ runAt, waiting }: Job): number | null {
  if (runAt === null || waiting?.reason === 'paused') return null
  return Date.parse((waiting?.reason === 'rate' ? waiting.until : undefined) ?? runAt)
}

function within(promise: Promise<void>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function tooLong(what: string, limitMs: number, { runs }: Pick<Open, 'runs'>): Error {
  const open = runs.flatMap((run) =>
    run.jobs
      .filter(({ state }) => !finalStates.has(state))
      .map(({ task, index, state }) => `${task} (job ${index} of the run ${run.id}) is ${state}`),
  )
  return new Error(`${what} has taken more than ${limitMs} ms: ${open.join(', ') || 'no job is left'}`)
}

function reasonOf({ jobs }: RunView, jobIndex: number | undefined): string {
  const failed = jobIndex === undefined ? jobs.find(({ error }) => error !== null) : jobs[jobIndex]
  return failed?.error == null ? '' : `: ${failed.error.message}`
}
