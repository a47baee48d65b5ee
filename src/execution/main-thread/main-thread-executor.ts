/** Runs first jobs on the main thread, and shows the stall watch which ones. */
import {
  type ClaimedJob,
  failedBy,
  maxProgressBytes,
  type Progress,
  stepsOfAttempt,
  type StepKeeper,
} from '../../domain/claim.ts'
import { beatEveryMs, type Heartbeat } from '../../runtime/stall-watch.ts'
import type { Log } from '../../log.ts'
import type { Registry } from '../../tasks/registry.ts'
import type { Task } from '../../tasks/task-module.ts'
import { createAttemptState, createExecutor, type Attempt } from '../executor.ts'
import { createRunningTask, currentTask, runTask } from '../running-task.ts'
import type { TaskLine } from '../task-context.ts'
import { Interrupted, type MainThreadGuard } from './main-thread-guard.ts'
import { createBuiltInsGuard, type BuiltInsGuard } from './process-guard.ts'

export interface MainThreadExecutorOptions {
  readonly registry: Registry
  readonly guard: MainThreadGuard
  readonly heartbeat: Heartbeat
  readonly keeper: StepKeeper
  readonly log: Log
  /** Called with each log line of a task. */
  readonly onLine: (line: TaskLine) => void
  /** From the signal to the moment when the job is given up, in milliseconds. */
  readonly cancelGraceMs: number
  /** How long the main thread may block before the stall watch acts, in milliseconds. */
  readonly mainStallMs: number
}

const maxShown = 8

export function createMainThreadExecutor(options: MainThreadExecutorOptions) {
  const { registry, guard, heartbeat, log, mainStallMs } = options
  /** Attempts whose code may still run, latest last; the oldest are dropped. */
  let recent: FirstAttempt[] = []
  let running = 0
  let beating: NodeJS.Timeout | undefined
  let madeBuiltInsGuard: BuiltInsGuard | undefined

  function builtInsGuard(): BuiltInsGuard {
    return (madeBuiltInsGuard ??= createBuiltInsGuard({ onChangedBy: guard.moveToPool, log }))
  }

  function showRunning(): void {
    // The latest attempts are the likeliest to block the thread.
    const latest = recent.map(({ job }) => `${job.task} (run ${job.runId})`)
    const more = running - latest.length
    heartbeat.setRunning(more > 0 ? [...latest, `and ${more} more`] : latest)
  }

  function beat(): void {
    heartbeat.beat()
    if (recent.length === 0) return
    // Includes jobs that have ended since the last beat: their code may have changed something before.
    checkBuiltIns()
    // Kept until now: code that an ended or a given-up job has left running can block the thread too.
    recent = recent.filter((attempt) => !attempt.hasReturned())
    showRunning()
  }

  function checkBuiltIns(): void {
    builtInsGuard().check(recent.map(({ task }) => task))
  }

  function start(job: ClaimedJob): FirstAttempt {
    const task = registry.get(job.task)
    if (task === undefined) throw new Error(`the task ${job.task} was accepted and is not registered`)
    const { title } = process
    checkBuiltIns()
    const attempt = startFirstAttempt({ ...options, job, task, builtInsGuard: builtInsGuard() })
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
    /** Begins to show that the main thread's loop turns. */
    start(): void {
      // Making the guard takes some time, which the start need not wait for.
      setImmediate(builtInsGuard)
      beating = setInterval(beat, beatEveryMs(mainStallMs))
    },
    async stop(graceMs: number): Promise<void> {
      await executor.stop(graceMs)
      clearInterval(beating)
    },
  }
}

interface FirstAttempt extends Attempt {
  readonly job: ClaimedJob
  readonly task: Task
  /** Whether the task itself has ended; it may go on when the attempt is over. */
  hasReturned(): boolean
}

interface FirstAttemptOptions extends MainThreadExecutorOptions {
  readonly job: ClaimedJob
  readonly task: Task
  readonly builtInsGuard: BuiltInsGuard
}

function startFirstAttempt(options: FirstAttemptOptions): FirstAttempt {
  const { job, task, guard, builtInsGuard, keeper, log, onLine, cancelGraceMs } = options
  const controller = new AbortController()
  let wasInterrupted = false
  let hasReturned = false
  let reported: Progress | null = null
  const state = createAttemptState({
    // The main thread cannot be killed: a job that ignores its signal goes on after the grace, and its outcome is dropped.
    graceMs: cancelGraceMs,
    onStop: () => controller.abort(new DOMException('the job was asked to stop', 'AbortError')),
    onEnd: () => clearTimeout(timer),
  })
  const timer = setTimeout(state.timeOut, job.timeoutMs, `did not end within ${job.timeoutMs} ms`)
  const running = createRunningTask(job, {
    called: 'a first job',
    attempt: state,
    signal: () => controller.signal,
    report(progress) {
      reported = Number.isNaN(progress.fraction) ? null : progress
    },
    steps: () => stepsOfAttempt(keeper, job),
    write(line) {
      log[line.level](line.fields, line.message)
      onLine(line)
    },
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
      builtInsGuard.checkEarly(task)
      // Only the owner of the process sets its exit code.
      if (process.exitCode !== exitCode) process.exitCode = exitCode
    }
  }

  void currentTask.run(running, runTask, task, job.input, running.context, call).then((outcome) => {
    hasReturned = true
    builtInsGuard.check([task])
    if (wasInterrupted) state.breakOff('released')
    else state.finish(outcome)
  })
  return {
    job,
    task,
    outcome: state.outcome,
    hasReturned: () => hasReturned,
    progress: () => reported && { ...reported, message: cutMessage(reported.message) },
    release: state.release,
    cancel: state.cancel,
  }
}

/** Cuts the message to the room that a thread has for it in shared memory. Called only when a reader asks for progress. */
function cutMessage(message: string): string {
  const bytes = new Uint8Array(maxProgressBytes)
  return new TextDecoder().decode(bytes.subarray(0, new TextEncoder().encodeInto(message, bytes).written))
}
