/**
 * Keeps first jobs from holding up the main thread: the synchronous part of a task that is not known to be quick runs
 * under a time limit that interrupts any loop, and a task that overruns its budget is placed in the pool for a while.
 */
import { createContext, Script } from 'node:vm'
import type { Clock } from '../../runtime/clock.ts'
import { now } from '../../runtime/primordials.ts'
import { backOffMs } from '../../domain/job.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task-module.ts'

export interface MainThreadGuard {
  /** Whether a first job of this task may run on the main thread now. */
  allows(task: Task): boolean
  /**
   * Calls the synchronous part of a task and returns what it returns.
   * @throws Interrupted when it was cut off, or could not be called under a limit; else what the task throws
   */
  call(task: Task, run: () => unknown): unknown
  /** From now on the task's first jobs run in the pool, even if its `main` is `always`. */
  banish(task: Task): void
  counts(): GuardCounts
}

export interface GuardCounts {
  /** By task, how often it held the main thread up since the start: cut off, or let end over its budget. */
  readonly overruns: Readonly<Record<string, { readonly interrupted: number; readonly overBudget: number }>>
  /** Tasks whose first jobs are placed in the pool for now. */
  readonly coolingDown: readonly string[]
}

/** The synchronous part was cut off, or not called: the job must run elsewhere. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export interface MainThreadGuardOptions {
  /** Milliseconds that the synchronous part of a first job may take. */
  readonly budgetMs: number
  /** Whether a call under a time limit can have the thread and the descriptors that it takes; default: always. */
  readonly hasRoom?: () => boolean
  readonly clock: Clock
  /** Milliseconds: how late it is, and how long this thread has worked. Default: of the system. */
  readonly times?: CallTimes
  readonly log: Log
}

export interface CallTimes {
  now(): number
  workedMs(): number
}

const usPerMs = 1_000
/** After this many quick calls in a row, a task is called without the limit, which costs about 0.1 ms a call. */
const provenAfter = 20
/** Quick is below this part of the budget. */
const quickPart = 0.2
/**
 * An overrun in which the thread worked for less than this part of the budget comes from a task that blocks, or from a
 * machine that is too busy: the task cools down only after `idleOverruns` of them in a row.
 */
const idlePart = 0.1
const idleOverruns = 3
/** How old the look at the thread's working time may be, for each costs as much as a quick task. */
const lookEveryMs = 5
/** How long a task stays in the pool after an overrun; doubled with each further one. */
const firstCoolDownMs = 60_000
const maxCoolDownMs = 960_000
/** For how long no call under a limit is tried after there was no room for one. */
const noRoomMs = 1_000
/** Between two lines about it. */
const noRoomLineMs = 60_000

const systemTimes: CallTimes = {
  now,
  workedMs() {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / usPerMs
  },
}

interface Call {
  readonly tookMs: number
  /** What the thread worked of that; asked only after an overrun. */
  readonly workedMs: () => number
  readonly wasInterrupted: boolean
}

interface TaskRecord {
  quickCalls: number
  /** Overruns in a row in which the thread hardly worked. */
  idle: number
  coolDowns: number
  coolUntil: number
  interrupted: number
  overBudget: number
}

export function createMainThreadGuard({
  budgetMs,
  hasRoom = () => true,
  clock,
  times = systemTimes,
  log,
}: MainThreadGuardOptions): MainThreadGuard {
  const records = new Map<string, TaskRecord>()
  const banished = new Set<string>()
  let limitedCall: LimitedCall | undefined = hasRoom() ? createLimitedCall(budgetMs) : undefined
  let noRoomUntil = Number.NEGATIVE_INFINITY
  let noRoomLineAt = Number.NEGATIVE_INFINITY
  let lookedAt = Number.NEGATIVE_INFINITY
  let workedThen = times.workedMs()

  function recordOf({ name }: Task): TaskRecord {
    const known = records.get(name)
    if (known !== undefined) return known
    const fresh = { quickCalls: 0, idle: 0, coolDowns: 0, coolUntil: 0, interrupted: 0, overBudget: 0 }
    records.set(name, fresh)
    return fresh
  }

  function recordCall(task: Task, record: TaskRecord, call: Call): void {
    const { tookMs, wasInterrupted } = call
    record.quickCalls = tookMs < budgetMs * quickPart ? record.quickCalls + 1 : 0
    if (tookMs < budgetMs && !wasInterrupted) {
      record.idle = 0
      return
    }
    if (wasInterrupted) record.interrupted += 1
    else record.overBudget += 1
    record.idle = call.workedMs() < budgetMs * idlePart ? record.idle + 1 : 0
    if (record.idle > 0 && record.idle < idleOverruns) return
    record.idle = 0
    record.coolDowns += 1
    const coolDownMs = backOffMs(record.coolDowns, firstCoolDownMs, maxCoolDownMs)
    record.coolUntil = clock.now() + coolDownMs
    const fields = { task: task.name, tookMs: Math.round(tookMs), budgetMs, coolDownMs }
    log.warn(fields, `the task ${task.name} held up the main thread: its first jobs run in the pool for a while`)
  }

  /** @throws Interrupted where V8 would abort the process, because what the limit takes cannot be had */
  function limitCall(): LimitedCall {
    if (hasRoom()) return (limitedCall ??= createLimitedCall(budgetMs))
    const at = times.now()
    noRoomUntil = at + noRoomMs
    if (at - noRoomLineAt > noRoomLineMs) {
      noRoomLineAt = at
      log.warn(
        'too few descriptors or threads are left: first jobs run in the pool unless their task is known as quick',
      )
    }
    throw new Interrupted('could not be called under a time limit')
  }

  /** A lower bound of the milliseconds that the thread has worked since then: its work since the last look is deducted. */
  function workedSince(startedAt: number): number {
    return times.workedMs() - workedThen - (startedAt - lookedAt)
  }

  return {
    allows(task) {
      if (banished.has(task.name)) return false
      if (task.policy.main !== 'auto') return task.policy.main === 'always'
      const { coolUntil, quickCalls } = recordOf(task)
      return coolUntil <= clock.now() && (quickCalls >= provenAfter || noRoomUntil <= times.now())
    },
    call(task, run) {
      if (task.policy.main === 'always') return run()
      const record = recordOf(task)
      const startedAt = times.now()
      if (startedAt - lookedAt > lookEveryMs) {
        lookedAt = startedAt
        workedThen = times.workedMs()
      }
      let wasInterrupted = false
      const callWithin = record.quickCalls >= provenAfter ? callDirectly : limitCall()
      try {
        return callWithin(run)
      } catch (error) {
        wasInterrupted = error instanceof Interrupted
        throw error
      } finally {
        const tookMs = times.now() - startedAt
        recordCall(task, record, { tookMs, workedMs: () => workedSince(startedAt), wasInterrupted })
      }
    },
    banish: ({ name }) => void banished.add(name),
    counts() {
      const all = [...records]
      const overran = all.filter(([, { interrupted, overBudget }]) => interrupted + overBudget > 0)
      return {
        overruns: Object.fromEntries(
          overran.map(([name, { interrupted, overBudget }]) => [name, { interrupted, overBudget }]),
        ),
        coolingDown: all.filter(([, { coolUntil }]) => coolUntil > clock.now()).map(([name]) => name),
      }
    },
  }
}

type LimitedCall = (run: () => unknown) => unknown

const callDirectly: LimitedCall = (run) => run()

const warmUpLimitMs = 60_000

/** `vm` limits the time of a script and not of a function, so the script calls the function that its context holds. */
function createLimitedCall(timeoutMs: number): LimitedCall {
  const holder: { run: () => unknown } = { run: () => {} }
  const context = createContext(holder)
  const script = new Script('run()')
  // The first call of a script costs milliseconds, which no request should pay, and on a busy machine more than any
  // budget: the start must not fail by that.
  script.runInContext(context, { timeout: warmUpLimitMs })
  return (run) => {
    holder.run = run
    try {
      return script.runInContext(context, { timeout: timeoutMs, displayErrors: false })
    } catch (error) {
      if (Reflect.get(Object(error), 'code') !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new Interrupted(`interrupted after ${timeoutMs} ms`)
    } finally {
      // What it closes over is the job's, and is not to be kept.
      holder.run = () => {}
    }
  }
}
