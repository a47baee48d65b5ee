/** One attempt on a thread, from its send to its one outcome, whatever comes first. */
import type { JobError, JobErrorCode, Outcome } from '../domain/job.ts'
import { startAttemptTimer } from './attempt-timer.ts'
import type { ControlBlock } from './control-block.ts'

/** `released`: the attempt did not come to an outcome of its own, and none is spent. */
export type PoolOutcome = Outcome | 'released'

/** Why a job was to stop that did not. */
export type AbandonCause = JobErrorCode | 'released'

export interface Attempt {
  readonly lane: number
  readonly outcome: Promise<PoolOutcome>
  /** Asks the task to stop; when it has not ended after the grace, the attempt ends all the same. */
  release(): void
  /** Asks the task to stop, whose job was cancelled. */
  cancel(): void
  /** Ends the attempt at once, and its thread with it. */
  kill(error: JobError): void
  /** The thread answered. */
  answer(outcome: Outcome): void
  /** The thread died of something that this attempt may have done. */
  die(error: JobError): void
  /** The thread is being killed for the sake of another attempt. */
  evict(): void
}

export interface AttemptOptions {
  readonly control: ControlBlock
  readonly lane: number
  readonly timeoutMs: number
  readonly cancelGraceMs: number
  /** The attempt has ended and its task has not: the lane stays taken until the thread is gone. */
  readonly onAbandoned: (cause: AbandonCause) => void
  /** The thread has not begun the job for longer than seems right; called again while it has not. */
  readonly onUnbegun: () => void
}

export function startAttempt(options: AttemptOptions): Attempt {
  const { control, lane, timeoutMs, cancelGraceMs } = options
  const { promise, resolve } = Promise.withResolvers<PoolOutcome>()
  let isFinished = false
  // What the attempt ends as once it was asked to stop; null before.
  let stoppedAs: PoolOutcome | null = null
  let graceTimer: NodeJS.Timeout | undefined

  control.reset(lane)
  const timer = startAttemptTimer({
    control,
    lane,
    timeoutMs,
    onTimeout: (message) => stop({ ok: false, error: { code: 'timeout', message }, isRetryable: true }),
    onUnbegun: options.onUnbegun,
  })

  function stop(outcome: PoolOutcome): void {
    if (isFinished || stoppedAs !== null) return
    stoppedAs = outcome
    control.stop(lane)
    graceTimer = setTimeout(() => {
      finish(outcome)
      options.onAbandoned(outcome === 'released' || outcome.ok ? 'released' : outcome.error.code)
    }, cancelGraceMs)
  }

  function finish(outcome: PoolOutcome): void {
    if (isFinished) return
    isFinished = true
    timer.cancel()
    clearTimeout(graceTimer)
    resolve(outcome)
  }

  return {
    lane,
    outcome: promise,
    release: () => stop('released'),
    cancel: () =>
      stop({ ok: false, error: { code: 'cancelled', message: 'cancelled on request' }, isRetryable: false }),
    kill(error) {
      if (isFinished) return
      finish(stoppedAs ?? { ok: false, error, isRetryable: true })
      options.onAbandoned(error.code)
    },
    answer(outcome) {
      // Who was only asked to hand the job back may still complete it; who is out of time may not.
      const isInTime = stoppedAs === null || (stoppedAs === 'released' && outcome.ok)
      finish(isInTime ? outcome : (stoppedAs ?? outcome))
    },
    die: (error) => finish(stoppedAs ?? { ok: false, error, isRetryable: true }),
    evict: () => finish(stoppedAs ?? 'released'),
  }
}
