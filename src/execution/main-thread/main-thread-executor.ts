/** Runs first jobs on the main thread, where their callers wait for them, and shows the stall watch which ones. */
import {
  type ClaimedJob,
  failedBy,
  maxProgressBytes,
  type Progress,
  stepsOfAttempt,
  type StepKeeper,
} from '../../domain/claim.ts'
import type { Heartbeat } from '../../runtime/stall-watch.ts'
import type { Log } from '../../log.ts'
import type { Registry } from '../../tasks/registry.ts'
import type { Task } from '../../tasks/task-module.ts'
import { createAttemptState, createExecutor, type Attempt, type Executor } from '../executor.ts'
import { createRunningTask, currentTask, runTask } from '../running-task.ts'
import type { TaskLine } from '../task-context.ts'
import { Interrupted, type MainThreadGuard } from './main-thread-guard.ts'
import { createRealmGuard, type RealmGuard } from './process-guard.ts'

export interface MainThreadExecutor extends Executor {
  /** Begins to show that the main thread's loop turns. */
  start(): void
}

export interface MainThreadExecutorOptions {
  readonly registry: Registry
  readonly guard: MainThreadGuard
  readonly heartbeat: Heartbeat
  readonly keeper: StepKeeper
  readonly log: Log
  /** Called with each line of a task, when it has been logged. */
  readonly onLine: (line: TaskLine) => void
  /** From the signal to the moment when the job is given up, in milliseconds. */
  readonly cancelGraceMs: number
  /** How long the main thread may stand still before the watch acts, in milliseconds. */
  readonly mainStallMs: number
}

/** The watch looks about five times in one stall. */
const beatsPerStall = 10
const maxBeatMs = 1_000
const maxShown = 8

export function createMainThreadExecutor(options: MainThreadExecutorOptions): MainThreadExecutor {
  const { registry, guard, heartbeat, keeper, log, onLine, cancelGraceMs, mainStallMs } = options
  let recent: FirstAttempt[] = []
  let running = 0
  let beating: NodeJS.Timeout | undefined
  let realm: RealmGuard | undefined

  function realmGuard(): RealmGuard {
    return (realm ??= createRealmGuard({ onGuilty: guard.banish, log }))
  }

  function showRunning(): void {
    // The latest are the likeliest to block the thread.
    const latest = recent.map(({ job }) => `${job.task} (run ${job.runId})`)
    const more = running - latest.length
    heartbeat.setRunning(more > 0 ? [...latest, `and ${more} more`] : latest)
  }

  function beat(): void {
    heartbeat.beat()
    if (recent.length === 0) return
    // Of jobs that run, or ended since the last beat.
    realm?.look(recent)
    // Not before: code that a job has left running can block the thread too, and so can a job that was given up.
    recent = recent.filter((attempt) => !attempt.hasReturned())
    showRunning()
  }

  function start(job: ClaimedJob): FirstAttempt {
    const task = registry.get(job.task)
    if (task === undefined) throw new Error(`the task ${job.task} was accepted and is not registered`)
    const { title } = process
    realmGuard().look(recent)
    const attempt = startFirstAttempt({ job, task, guard, realm: realmGuard(), keeper, log, onLine, cancelGraceMs })
    recent = [...recent, attempt].slice(-maxShown)
    running += 1
    showRunning()
    void attempt.outcome.then(() => {
      running -= 1
      if (process.title !== title) process.title = title
    })
    return attempt
  }

  const executor = createExecutor(start)
  return {
    ...executor,
    start() {
      // It takes some time, and is not needed at once.
      setImmediate(realmGuard)
      beating = setInterval(beat, Math.min(maxBeatMs, mainStallMs / beatsPerStall))
    },
    async stop(graceMs) {
      await executor.stop(graceMs)
      clearInterval(beating)
    },
  }
}

interface FirstAttempt extends Attempt {
  readonly job: ClaimedJob
  readonly task: Task
  /** Whether its task has ended too, which it need not have when the attempt is over. */
  hasReturned(): boolean
}

interface FirstAttemptOptions extends Pick<
  MainThreadExecutorOptions,
  'guard' | 'keeper' | 'log' | 'onLine' | 'cancelGraceMs'
> {
  readonly job: ClaimedJob
  readonly task: Task
  readonly realm: RealmGuard
}

function startFirstAttempt(options: FirstAttemptOptions): FirstAttempt {
  const { job, task, guard, realm, keeper, log, onLine, cancelGraceMs } = options
  const controller = new AbortController()
  const suspect = { task }
  let wasInterrupted = false
  let hasReturned = false
  let reported: Progress | null = null
  const state = createAttemptState({
    // The main thread cannot be killed: a job that does not heed its signal is left to itself.
    graceMs: cancelGraceMs,
    onStop: () => controller.abort(new DOMException('the job was asked to stop', 'AbortError')),
    onEnd: () => clearTimeout(timer),
  })
  const timer = setTimeout(state.timeOut, job.timeoutMs, `did not end within ${job.timeoutMs} ms`)
  const running = createRunningTask(job, {
    called: 'a first job',
    ended: state.outcome,
    isOver: state.isOver,
    hasBegun: () => true,
    signal: () => controller.signal,
    report(progress) {
      reported = Number.isNaN(progress.fraction) ? null : progress
    },
    steps: () => stepsOfAttempt(keeper, job),
    write(line) {
      log[line.level](line.fields, line.message)
      onLine(line)
    },
    fail: state.breakOff,
    onExit(exitCode, name) {
      const message = `called process.${name}(${exitCode}) on the main thread`
      state.breakOff(failedBy({ code: 'crashed', message, exitCode }))
      throw new Error(`the task ${job.task} ${message}`)
    },
  })

  function call(run: () => unknown): unknown {
    const { exitCode } = process
    try {
      return guard.call(task, run)
    } catch (error) {
      wasInterrupted = error instanceof Interrupted
      throw error
    } finally {
      realm.lookEarly(suspect)
      // The exit code of the process is its owner's to set.
      if (process.exitCode !== exitCode) process.exitCode = exitCode
    }
  }

  void currentTask.run(running, runTask, task, job.input, running.context, call).then((outcome) => {
    hasReturned = true
    realm.look([suspect])
    if (wasInterrupted) state.breakOff('released')
    else state.finish(outcome)
  })
  return {
    job,
    task,
    outcome: state.outcome,
    hasReturned: () => hasReturned,
    progress: () => reported && { ...reported, message: cut(reported.message) },
    release: state.release,
    cancel: state.cancel,
  }
}

/** As on a thread, where it has no more room; only when it is looked at. */
function cut(message: string): string {
  const room = new Uint8Array(maxProgressBytes)
  return new TextDecoder().decode(room.subarray(0, new TextEncoder().encodeInto(message, room).written))
}
