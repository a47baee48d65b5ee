/** One attempt on a thread, from sending the job to its one outcome; its time and memory are watched from the main thread. */
import { type ClaimedJob, failedBy, type AttemptOutcome, type StepKeeper } from '../../domain/claim.ts'
import type { JobError, JobErrorCode } from '../../domain/job.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { createAttemptState, type Attempt } from '../executor.ts'
import { phases, type ControlBlock } from './control-block.ts'

/** Why an attempt ended before its task: its thread must end, too. */
export type AbandonCause = JobErrorCode | 'released'

/**
 * Each of these calls ends the attempt at once, and decides its outcome if the attempt was not asked to stop:
 *
 * | call     | when                                           | outcome      |
 * | -------- | ---------------------------------------------- | ------------ |
 * | `finish` | the thread has replied                         | of the reply |
 * | `recall` | the thread has not begun the job               | `released`   |
 * | `kill`   | the thread must end because of the attempt     | the error    |
 * | `crash`  | no reply will come; the attempt is blamed      | the error    |
 * | `evict`  | no reply will come; it is not blamed           | `released`   |
 *
 * `release`, `cancel` and the timeout ask the task to stop. The first of them decides the outcome: `released`, `cancelled`
 * or `timeout`. A later call of the table, or the end of the grace, ends the attempt with it. Only `finish` can change
 * `released`: a task that completes keeps its result.
 */
export interface PoolAttempt extends Attempt {
  readonly job: ClaimedJob
  readonly keeper: StepKeeper
  readonly slot: number
  /** @returns false when the thread has begun the job, or the attempt is over */
  recall(): boolean
  kill(error: JobError): void
  finish(outcome: AttemptOutcome): void
  crash(error: JobError): void
  evict(): void
}

export interface PoolAttemptOptions extends Pick<PoolAttempt, 'job' | 'keeper' | 'slot'> {
  readonly control: ControlBlock
  /** How long a thread may take to import the task's module, in milliseconds. */
  readonly loadLimitMs: number
  readonly cancelGraceMs: number
  /** Whether its task has secrets: the stack of a crash, which is the last output of the thread, may contain them. */
  readonly hasSecrets: boolean
  /** The attempt is over and its task goes on: the slot stays taken until the thread is gone. */
  readonly onAbandoned: (cause: AbandonCause) => void
  /** The thread should have begun the job by now; called again until it does. */
  readonly onUnbegun: () => void
}

export function startAttempt(options: PoolAttemptOptions): PoolAttempt {
  const { job, keeper, slot, control, hasSecrets, cancelGraceMs, onAbandoned } = options
  const state = createAttemptState({
    graceMs: cancelGraceMs,
    onStop: () => control.stop(slot),
    onGraceOver: (outcome) => onAbandoned(outcome === 'released' ? outcome : outcome.error.code),
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
      // A job that has not begun ends without the grace, and as `cancelled`, because it was asked to stop first.
      recall()
    },
    kill(error) {
      if (state.isOver()) return
      state.breakOff(failedBy(error))
      // The cause of the thread's end, even when an earlier request to stop decided the outcome.
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

const pollMs = 100
const unbegunAfterMs = 2_000

/**
 * Limits the time of an attempt. The time counts from the start on the thread, which only shared memory shows: the way to
 * the thread does not count.
 * @returns cancels the timer
 */
function startTimer(options: PoolAttemptOptions, onTimeout: (message: string) => void): () => void {
  const { control, slot, loadLimitMs, onUnbegun } = options
  const { timeoutMs } = options.job
  const sentAt = performance.now()
  let timer = setTimeout(check, Math.min(timeoutMs, unbegunAfterMs))

  function check(): void {
    const { phase, sinceMs } = control.phase(slot)
    if (phase === phases.sent && performance.now() - sentAt >= unbegunAfterMs) onUnbegun()
    if (phase !== phases.loading && phase !== phases.running) return checkIn(Math.min(timeoutMs, pollMs))
    const isLoading = phase === phases.loading
    const leftMs = sinceMs + (isLoading ? loadLimitMs : timeoutMs) - monotonicMs()
    if (leftMs > 0) return checkIn(isLoading ? Math.min(leftMs, pollMs) : leftMs)
    onTimeout(isLoading ? `the module did not load within ${loadLimitMs} ms` : `did not end within ${timeoutMs} ms`)
  }

  function checkIn(delayMs: number): void {
    timer = setTimeout(check, delayMs)
  }

  return () => clearTimeout(timer)
}

const measureEveryMs = 50

interface Watched {
  /** Bytes of heap and external memory that the thread holds now; does not resolve while the thread is in native code. */
  measure(): Promise<number>
  /** Bytes that the thread held when the attempt began. */
  startBytes(): number
  readonly limitBytes: number
  onExceeded(usedBytes: number): void
}

/**
 * Watches the memory of attempts on `cpu` threads from the main thread, because V8's own limit can end the process. One
 * timer serves all attempts; each has one measurement under way at most.
 * @returns watches an attempt, and returns a function that ends the watch
 */
export function createMemoryWatch(): (attempt: Watched) => () => void {
  const watched = new Set<Watched>()
  const measuring = new Set<Watched>()
  let timer: NodeJS.Timeout | undefined

  async function measure(attempt: Watched): Promise<void> {
    measuring.add(attempt)
    try {
      const usedBytes = (await attempt.measure()) - attempt.startBytes()
      if (watched.has(attempt) && usedBytes > attempt.limitBytes) attempt.onExceeded(usedBytes)
    } catch {
      // The thread has ended, and the attempt with it.
    } finally {
      measuring.delete(attempt)
    }
  }

  function measureAll(): void {
    for (const attempt of watched) if (!measuring.has(attempt)) void measure(attempt)
  }

  return (attempt) => {
    watched.add(attempt)
    timer ??= setInterval(measureAll, measureEveryMs)
    return () => {
      watched.delete(attempt)
      if (watched.size > 0) return
      clearInterval(timer)
      timer = undefined
    }
  }
}
