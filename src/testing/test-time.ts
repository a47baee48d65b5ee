/** Moves the clock of a service in a test, and waits for its jobs. */
import type { RunView } from '../http/views/run.ts'
import type { Forerunner } from '../library/forerunner.ts'
import type { InlinePool, TestClock } from './inline-pool.ts'

type Job = RunView['jobs'][number]

export interface LimitOptions {
  /** Real time in milliseconds before the call throws; default 5 000. */
  readonly limitMs?: number
}

export interface WaitOptions extends LimitOptions {
  /** Waits for the state of this job instead of the run's. */
  readonly jobIndex?: number
}

/** Number of runs of the service that have ended so far, by state. */
export type DrainReport = Readonly<Record<Exclude<RunView['state'], 'running'>, number>>

export interface TestTime {
  /** The time of the clock, in epoch milliseconds. */
  now(): number
  /**
   * Moves the clock ahead. It stops at each tick, delay, retry and time limit on the way, so that each has its effect at its
   * time. It does not wait for an attempt that takes longer than 100 ms of real time.
   */
  advance(ms: number, options?: LimitOptions): Promise<void>
  /** Moves the clock to each waiting job in turn, until all runs have ended or only wait for paused tasks. */
  drain(options?: LimitOptions): Promise<DrainReport>
  /**
   * Resolves to the run when the run, or one of its jobs, has this state. The clock does not move.
   * @throws Error if it has ended in another state
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

/** The runs that have not ended, as seen at one moment. */
interface Snapshot {
  readonly runs: readonly RunView[]
  /** Whether a job is running, or a job or tick is due and about to start. */
  readonly isBusy: boolean
  /** When the next job becomes due; Infinity without one. */
  readonly nextDueAt: number
  /** The next tick of a schedule; Infinity without one. */
  readonly nextTickAt: number
}

const defaultLimitMs = 5_000
/** Real time that `advance` waits for running attempts at each stop. */
const patienceMs = 100
/** Longest pause between two looks: not every change is an event, and a test may remove all listeners. */
const maxPauseMs = 100
const finalStates: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

export function createTestTime({ forerunner, clock, pool }: TestTimeOptions): TestTime {
  let changes = 0
  let { promise: changed, resolve: notify } = Promise.withResolvers<void>()
  forerunner.events.on('change', () => {
    changes += 1
    notify()
    ;({ promise: changed, resolve: notify } = Promise.withResolvers<void>())
  })

  async function look(): Promise<Snapshot> {
    const schedules = await forerunner.listSchedules()
    const ticks = schedules.flatMap(({ nextAt }) => (nextAt === null ? [] : Date.parse(nextAt)))
    const runs: RunView[] = []
    for await (const run of forerunner.allRuns({ state: 'running' })) runs.push(run)
    const jobs = runs.flatMap((run) => run.jobs)
    const dueTimes = jobs.flatMap((job) => dueAtOf(job) ?? [])
    const now = clock.now()
    return {
      runs,
      isBusy: jobs.some(({ state }) => state === 'running') || [...dueTimes, ...ticks].some((at) => at <= now),
      nextDueAt: Math.min(...dueTimes.filter((at) => at > now)),
      nextTickAt: Math.min(...ticks.filter((at) => at > now)),
    }
  }

  /** Looks after each change until there is a result. @returns undefined after the limit */
  async function until<Result>(see: () => Promise<Result | undefined>, limitMs: number): Promise<Result | undefined> {
    const endAt = performance.now() + limitMs
    for (;;) {
      const before = changes
      const next = changed
      const result = await see()
      if (result !== undefined) return result
      const leftMs = endAt - performance.now()
      if (leftMs <= 0) return undefined
      if (changes === before) await within(next, Math.min(leftMs, maxPauseMs))
    }
  }

  function moveTo(at: number): void {
    clock.moveTo(at)
    pool.clockMoved()
  }

  async function lookIfIdle(): Promise<Snapshot | undefined> {
    const snapshot = await look()
    return snapshot.isBusy ? undefined : snapshot
  }

  async function runInState(id: string, state: string, jobIndex: number | undefined): Promise<RunView | undefined> {
    const run = await forerunner.getRun(id)
    const subject = jobIndex === undefined ? run : run.jobs[jobIndex]
    if (subject === undefined) throw new RangeError(`the run ${id} has no job ${jobIndex}`)
    if (subject.state === state) return run
    if (!finalStates.has(subject.state)) return undefined
    const name = jobIndex === undefined ? `the run ${id}` : `job ${jobIndex} of the run ${id}`
    throw new Error(`${name} is ${subject.state}, and will not be ${state}${reasonOf(run, jobIndex)}`)
  }

  return {
    now: clock.now,
    async advance(ms, { limitMs = defaultLimitMs } = {}) {
      if (!(ms >= 0)) throw new RangeError(`the clock cannot be moved by ${ms} ms`)
      const target = clock.now() + ms
      const endAt = performance.now() + limitMs
      for (;;) {
        const snapshot = (await until(lookIfIdle, patienceMs)) ?? (await look())
        const nextStop = Math.min(snapshot.nextDueAt, snapshot.nextTickAt, pool.nextTimeoutAt())
        if (nextStop > target) return moveTo(target)
        if (performance.now() > endAt) throw tooLong(`advance(${ms})`, limitMs, snapshot.runs)
        moveTo(nextStop)
      }
    },
    async drain({ limitMs = defaultLimitMs } = {}) {
      const endAt = performance.now() + limitMs
      for (;;) {
        const snapshot = await until(lookIfIdle, endAt - performance.now())
        if (snapshot === undefined || performance.now() > endAt) {
          throw tooLong('drain()', limitMs, (await look()).runs)
        }
        if (snapshot.nextDueAt === Infinity) break
        moveTo(snapshot.nextDueAt)
      }
      const { completed, failed, cancelled } = (await forerunner.stats()).runs
      return { completed, failed, cancelled }
    },
    async waitFor(run, state, { jobIndex, limitMs = defaultLimitMs } = {}) {
      const id = typeof run === 'string' ? run : run.id
      const found = await until(() => runInState(id, state, jobIndex), limitMs)
      if (found !== undefined) return found
      throw tooLong(`waitFor(${JSON.stringify(state)})`, limitMs, [await forerunner.getRun(id)])
    },
  }
}

/** When a waiting job can start: later than its due time if its task's rate is used up; null while its task is paused. */
function dueAtOf({ runAt, waiting }: Job): number | null {
  if (runAt === null || waiting?.reason === 'paused') return null
  return Date.parse((waiting?.reason === 'rate' ? waiting.until : undefined) ?? runAt)
}

function within(promise: Promise<void>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function tooLong(call: string, limitMs: number, runs: readonly RunView[]): Error {
  const open = runs.flatMap((run) =>
    run.jobs
      .filter(({ state }) => !finalStates.has(state))
      .map(({ task, index, state }) => `${task} (job ${index} of the run ${run.id}) is ${state}`),
  )
  return new Error(`${call} has taken more than ${limitMs} ms: ${open.join(', ') || 'no job is left'}`)
}

function reasonOf({ jobs }: RunView, jobIndex: number | undefined): string {
  const failed = jobIndex === undefined ? jobs.find(({ error }) => error !== null) : jobs[jobIndex]
  return failed?.error == null ? '' : `: ${failed.error.message}`
}
