/**
 * How an attempt ends, wherever it runs: once, with its task's own outcome or, when it was asked to stop and did not in
 * time, with what it was to stop for.
 */
import { failedBy, type AttemptOutcome } from '../domain/job.ts'

export interface AttemptStateOptions {
  /** From the request to stop to the end of the attempt, in milliseconds. */
  readonly graceMs: number
  /** Passes the request to stop on to the task; called once at most. */
  readonly onStop: () => void
  /** The task did not end within the grace: the attempt has ended without it. */
  readonly onGraceOver?: (outcome: AttemptOutcome) => void
  readonly onEnd: () => void
}

export function createAttemptState({ graceMs, onStop, onGraceOver, onEnd }: AttemptStateOptions) {
  const { promise, resolve } = Promise.withResolvers<AttemptOutcome>()
  let isOver = false
  // What the attempt ends as once it was asked to stop; null before.
  let stoppedAs: AttemptOutcome | null = null
  let graceTimer: NodeJS.Timeout | undefined

  function stop(outcome: AttemptOutcome): void {
    if (isOver || stoppedAs !== null) return
    stoppedAs = outcome
    onStop()
    graceTimer = setTimeout(() => {
      end(outcome)
      onGraceOver?.(outcome)
    }, graceMs)
  }

  function end(outcome: AttemptOutcome): void {
    if (isOver) return
    isOver = true
    clearTimeout(graceTimer)
    onEnd()
    resolve(outcome)
  }

  return {
    outcome: promise,
    isOver: (): boolean => isOver,
    /** Asks the task to stop; the attempt ends as `released` after the grace unless it completes before. */
    release: (): void => stop('released'),
    /** Asks the task to stop, whose job was cancelled; after the grace the attempt ends all the same. */
    cancel: (): void =>
      stop({ ok: false, error: { code: 'cancelled', message: 'cancelled on request' }, isRetryable: false }),
    /** Asks the task to stop, whose time is over; after the grace the attempt ends all the same. */
    timeOut: (message: string): void => stop(failedBy({ code: 'timeout', message })),
    /** The task ended by itself, or its place did not begin it. */
    finish(outcome: AttemptOutcome): void {
      // A task that was only asked to hand its job back may still complete it; one that is out of time may not.
      const isInTime = stoppedAs === null || (stoppedAs === 'released' && outcome !== 'released' && outcome.ok)
      end(isInTime ? outcome : (stoppedAs ?? outcome))
    },
    /** Something else ended it: that is the outcome unless it was asked to stop before. */
    breakOff: (outcome: AttemptOutcome): void => end(stoppedAs ?? outcome),
  }
}
