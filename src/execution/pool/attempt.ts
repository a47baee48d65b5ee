/** One attempt on a thread, from its send to its one outcome; its time and its memory are watched. */
import { type ClaimedJob, failedBy, type AttemptOutcome, type StepKeeper } from '../../domain/claim.ts'
import type { JobError, JobErrorCode } from '../../domain/job.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { createAttemptState, type Attempt } from '../executor.ts'
import { phases, type ControlBlock } from './control-block.ts'

/** Why a job that did not stop was asked to stop. */
export type AbandonCause = JobErrorCode | 'released'

/**
 * The first of these ends it. Where it was asked to stop before, it ends as it was to end then.
 *
 * | `release`, `cancel` | after the grace, unless the task ends before | `released`, `cancelled`  |
 * | `recall`            | at once, if the thread has not begun it      | `released`               |
 * | `finish`            | the thread has replied                       | the outcome of the reply |
 * | `kill`              | at once, and its thread with it              | the error                |
 * | `crash`             | its thread ended or could not reply, and this attempt may be the cause | the error |
 * | `evict`             | its thread ended or is ended, and this attempt is not the cause | `released` |
 */
export interface PoolAttempt extends Attempt {
  readonly job: ClaimedJob
  readonly keeper: StepKeeper
  readonly slot: number
  /** Whether it could be. */
  recall(): boolean
  kill(error: JobError): void
  finish(outcome: AttemptOutcome): void
  crash(error: JobError): void
  evict(): void
}

export interface PoolAttemptOptions extends Pick<PoolAttempt, 'job' | 'keeper'> {
  readonly control: ControlBlock
  readonly slot: number
  /** How long a thread may take to import the task's module. */
  readonly loadLimitMs: number
  readonly cancelGraceMs: number
  /** Whether its task has secrets, which what a thread or a process wrote last may hold. */
  readonly hasSecrets: boolean
  /** The attempt has ended and its task has not: the slot stays taken until the thread is gone. */
  readonly onAbandoned: (cause: AbandonCause) => void
  /** The thread has not begun the job for longer than seems right; called again while it has not. */
  readonly onUnbegun: () => void
}

export function startAttempt(options: PoolAttemptOptions): PoolAttempt {
  const { job, keeper, control, slot, hasSecrets, cancelGraceMs, onAbandoned } = options
  const state = createAttemptState({
    graceMs: cancelGraceMs,
    onStop: () => control.stop(slot),
    onGraceOver: (outcome) => onAbandoned(outcome === 'released' || outcome.ok ? 'released' : outcome.error.code),
    onEnd: () => cancelTimer(),
  })
  control.reset(slot)
  const cancelTimer = startTimer(options, state.timeOut)

  function recall(): boolean {
    if (state.isOver() || !control.recall(slot)) return false
    state.breakOff('released')
    return true
  }

  return {
    job,
    keeper,
    slot,
    outcome: state.outcome,
    recall,
    release() {
      if (!recall()) state.release()
    },
    cancel() {
      state.cancel()
      // What was not begun needs no grace: it ends as what it was to stop for.
      recall()
    },
    kill(error) {
      if (state.isOver()) return
      state.breakOff(failedBy(error))
      onAbandoned(error.code)
    },
    progress: () => control.progress(slot),
    finish: state.finish,
    crash({ stack, ...error }) {
      state.breakOff(failedBy(stack === undefined || hasSecrets ? error : { ...error, stack }))
    },
    evict: () => state.breakOff('released'),
  }
}

/** How soon to look again at a job that its thread has not begun. */
const lookAgainMs = 100
const unbegunAfterMs = 2_000

/**
 * Counts an attempt's time from its start on the thread, which only the shared memory knows: time on the way to the
 * thread does not count.
 * @returns a function that ends the counting
 */
function startTimer(options: PoolAttemptOptions, onTimeout: (message: string) => void): () => void {
  const { control, slot, loadLimitMs, onUnbegun } = options
  const { timeoutMs } = options.job
  const sentAt = performance.now()
  let timer = setTimeout(look, Math.min(timeoutMs, unbegunAfterMs))

  function look(): void {
    const { phase, sinceMs } = control.phase(slot)
    if (phase === phases.sent) {
      if (performance.now() - sentAt >= unbegunAfterMs) onUnbegun()
      return lookIn(Math.min(timeoutMs, lookAgainMs))
    }
    if (!control.isBegun(slot)) return lookIn(Math.min(timeoutMs, lookAgainMs))
    const isLoading = phase === phases.loading
    const leftMs = sinceMs + (isLoading ? loadLimitMs : timeoutMs) - monotonicMs()
    if (leftMs > 0) return lookIn(isLoading ? Math.min(leftMs, lookAgainMs) : leftMs)
    onTimeout(isLoading ? `the module did not load within ${loadLimitMs} ms` : `did not end within ${timeoutMs} ms`)
  }

  function lookIn(delayMs: number): void {
    timer = setTimeout(look, delayMs)
  }

  return () => clearTimeout(timer)
}

const lookEveryMs = 50

interface Watched {
  /** Bytes of heap and external memory that the thread holds now; waits while the thread is in native code. */
  measure(): Promise<number>
  /** Bytes that it held when the attempt began. */
  startBytes(): number
  readonly limitBytes: number
  onExceeded(usedBytes: number): void
}

/**
 * Watches from outside how much memory the attempts on `cpu` threads take, for V8's own limit can end the process. One
 * timer for all attempts, and at most one measurement of each under way.
 * @returns a function that begins to watch an attempt, and returns one that ends it
 */
export function createMemoryWatch(): (attempt: Watched) => () => void {
  const watched = new Set<Watched>()
  const measuring = new Set<Watched>()
  let timer: NodeJS.Timeout | undefined

  async function look(attempt: Watched): Promise<void> {
    measuring.add(attempt)
    try {
      const usedBytes = (await attempt.measure()) - attempt.startBytes()
      if (watched.has(attempt) && usedBytes > attempt.limitBytes) attempt.onExceeded(usedBytes)
    } catch {
      // The thread has ended, and with it the attempt.
    } finally {
      measuring.delete(attempt)
    }
  }

  function lookAtAll(): void {
    for (const attempt of watched) if (!measuring.has(attempt)) void look(attempt)
  }

  return (attempt) => {
    watched.add(attempt)
    timer ??= setInterval(lookAtAll, lookEveryMs)
    return () => {
      watched.delete(attempt)
      if (watched.size > 0) return
      clearInterval(timer)
      timer = undefined
    }
  }
}
