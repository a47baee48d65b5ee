/**
 * Keeps first jobs from holding up the main thread: the synchronous part of a task that is not known to be quick runs
 * under a time limit that interrupts any loop, and a task that overruns its budget runs in the pool for a while.
 */
import { createContext, Script } from 'node:vm'
import type { Clock } from '../../runtime/clock.ts'
import { now } from '../../runtime/primordials.ts'
import { backOffMs } from '../../domain/job.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task-module.ts'

/** The synchronous part was cut off, or not called: the job must run elsewhere. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export interface MainThreadGuardOptions {
  /** Milliseconds that the synchronous part of a first job may take. */
  readonly budgetMs: number
  /** Whether the thread and the descriptors that a call under a time limit takes are available; default: always. */
  readonly hasRoom?: () => boolean
  readonly clock: Clock
  /** Default: of the system. */
  readonly times?: CallTimes
  readonly log: Log
}

/** Milliseconds. */
export interface CallTimes {
  now(): number
  /** CPU time of this thread. */
  workedMs(): number
}

const usPerMs = 1_000
/** After this many quick calls in a row, a task is called without the limit, which costs about 0.1 ms a call. */
const provenAfter = 20
/** A call is quick below this part of the budget. */
const quickPart = 0.2
/**
 * An overrun is idle when the thread worked for less than this part of the budget: the task blocks, or the machine is too
 * busy to run it. A task cools down only after `maxIdleOverruns` of them in a row.
 */
const idlePart = 0.1
const maxIdleOverruns = 3
/** Reading the thread's CPU time costs as much as a quick task, so a reading is used for this long. */
const cpuReadingMs = 5
/** How long a task stays in the pool after an overrun; doubled with each further one. */
const firstCoolDownMs = 60_000
const maxCoolDownMs = 960_000
/** How long no call under a limit is tried after there was no room for one. */
const noRoomMs = 1_000
/** The least time between two log lines about that. */
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
  /** CPU time of the thread in that time; read only after an overrun. */
  readonly workedMs: () => number
  readonly wasInterrupted: boolean
}

interface TaskRecord {
  /** In a row. */
  quickCalls: number
  /** In a row. */
  idleOverruns: number
  coolDowns: number
  coolUntil: number
  /** Overruns that were cut off. */
  interrupted: number
  /** Overruns that ended by themselves. */
  overBudget: number
}

export type MainThreadGuard = ReturnType<typeof createMainThreadGuard>

export function createMainThreadGuard(options: MainThreadGuardOptions) {
  const { budgetMs, hasRoom = () => true, clock, times = systemTimes, log } = options
  const records = new Map<string, TaskRecord>()
  const inPool = new Set<string>()
  let limitedCall: LimitedCall | undefined = hasRoom() ? createLimitedCall(budgetMs) : undefined
  let noRoomUntil = Number.NEGATIVE_INFINITY
  let noRoomLineAt = Number.NEGATIVE_INFINITY
  /** The last reading of the thread's CPU time. */
  let readAt = Number.NEGATIVE_INFINITY
  let readWorkedMs = times.workedMs()

  function recordOf({ name }: Task): TaskRecord {
    const known = records.get(name)
    if (known !== undefined) return known
    const fresh = { quickCalls: 0, idleOverruns: 0, coolDowns: 0, coolUntil: 0, interrupted: 0, overBudget: 0 }
    records.set(name, fresh)
    return fresh
  }

  function recordCall(task: Task, record: TaskRecord, { tookMs, workedMs, wasInterrupted }: Call): void {
    record.quickCalls = tookMs < budgetMs * quickPart ? record.quickCalls + 1 : 0
    if (tookMs < budgetMs && !wasInterrupted) {
      record.idleOverruns = 0
      return
    }
    if (wasInterrupted) record.interrupted += 1
    else record.overBudget += 1
    if (workedMs() < budgetMs * idlePart) {
      record.idleOverruns += 1
      if (record.idleOverruns < maxIdleOverruns) return
    }
    record.idleOverruns = 0
    record.coolDowns += 1
    const coolDownMs = backOffMs(record.coolDowns, firstCoolDownMs, maxCoolDownMs)
    record.coolUntil = clock.now() + coolDownMs
    const fields = { task: task.name, tookMs: Math.round(tookMs), budgetMs, coolDownMs }
    log.warn(fields, `the task ${task.name} held up the main thread: its first jobs run in the pool for a while`)
  }

  /** @throws Interrupted when there is no room, because V8 would abort the process */
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

  /** A lower bound: the time since the last reading counts as work that was done before the call. */
  function workedSince(startedAt: number): number {
    return times.workedMs() - readWorkedMs - (startedAt - readAt)
  }

  return {
    /** Whether a first job of this task may run on the main thread now. */
    allows(task: Task): boolean {
      if (inPool.has(task.name)) return false
      if (task.policy.main !== 'auto') return task.policy.main === 'always'
      const { coolUntil, quickCalls } = recordOf(task)
      return coolUntil <= clock.now() && (quickCalls >= provenAfter || noRoomUntil <= times.now())
    },
    /**
     * Calls the synchronous part of a task and returns what it returns.
     * @throws Interrupted when the call was cut off, or could not be made under a time limit; else what the task throws
     */
    call(task: Task, run: () => unknown): unknown {
      if (task.policy.main === 'always') return run()
      const record = recordOf(task)
      const startedAt = times.now()
      if (startedAt - readAt > cpuReadingMs) {
        readAt = startedAt
        readWorkedMs = times.workedMs()
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
    /** Runs the task's first jobs in the pool from now on, even if its `main` is `always`. */
    moveToPool: ({ name }: Task): void => void inPool.add(name),
    counts() {
      const all = [...records]
      const overran = all.filter(([, { interrupted, overBudget }]) => interrupted + overBudget > 0)
      const overruns = overran.map(
        ([name, { interrupted, overBudget }]) => [name, { interrupted, overBudget }] as const,
      )
      const coolingDown = all.filter(([, { coolUntil }]) => coolUntil > clock.now()).map(([name]) => name)
      return {
        /** Overruns since the start, by task. */
        overruns: Object.fromEntries(overruns),
        /** Tasks whose first jobs run in the pool for a while. */
        coolingDown,
      }
    },
  }
}

type LimitedCall = (run: () => unknown) => unknown

const callDirectly: LimitedCall = (run) => run()

const warmUpLimitMs = 60_000

/** `vm` limits the time of a script, not of a function: the script calls the function that its context holds. */
function createLimitedCall(timeoutMs: number): LimitedCall {
  const holder: { run: () => unknown } = { run: () => {} }
  const context = createContext(holder)
  const script = new Script('run()')
  // The first call of a script takes milliseconds, which no request should pay. On a busy machine it takes longer than any
  // budget, so it has a limit of its own: otherwise the start could fail.
  script.runInContext(context, { timeout: warmUpLimitMs })
  return (run) => {
    holder.run = run
    try {
      return script.runInContext(context, { timeout: timeoutMs, displayErrors: false })
    } catch (error) {
      if (Reflect.get(Object(error), 'code') !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new Interrupted(`interrupted after ${timeoutMs} ms`)
    } finally {
      // Frees what the job's function closes over.
      holder.run = () => {}
    }
  }
}
