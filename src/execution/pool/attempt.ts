/** One attempt on a thread, from its send to its one outcome, whatever comes first. */
import { createAttemptState, failedBy } from '../attempt-state.ts'
import type { AttemptOutcome, JobError, JobErrorCode } from '../../domain/job.ts'
import { startAttemptTimer } from './attempt-timer.ts'
import type { ControlBlock } from './control-block.ts'

/** Why a job was to stop that did not. */
export type AbandonCause = JobErrorCode | 'released'

export interface Attempt {
  readonly slot: number
  readonly outcome: Promise<AttemptOutcome>
  /** Hands the job back when its thread has not begun it; whether it could. */
  recall(): boolean
  /** Asks the task to stop; when it has not ended after the grace, the attempt ends all the same. */
  release(): void
  /** Asks the task to stop, whose job was cancelled. */
  cancel(): void
  /** Ends the attempt at once, and its thread with it. */
  kill(error: JobError): void
  /** The thread answered. */
  answer(outcome: AttemptOutcome): void
  /** The thread died of something that this attempt may have done. */
  die(error: JobError): void
  /** The thread is being killed for the sake of another attempt. */
  evict(): void
}

export interface AttemptOptions {
  readonly control: ControlBlock
  readonly slot: number
  readonly timeoutMs: number
  readonly loadLimitMs: number
  readonly cancelGraceMs: number
  /** The attempt has ended and its task has not: the slot stays taken until the thread is gone. */
  readonly onAbandoned: (cause: AbandonCause) => void
  /** The thread has not begun the job for longer than seems right; called again while it has not. */
  readonly onUnbegun: () => void
}

export function startAttempt(options: AttemptOptions): Attempt {
  const { control, slot, timeoutMs, loadLimitMs, cancelGraceMs, onAbandoned, onUnbegun } = options
  const end = createAttemptState({
    graceMs: cancelGraceMs,
    onStop: () => control.stop(slot),
    onGraceOver: (outcome) => onAbandoned(outcome === 'released' || outcome.ok ? 'released' : outcome.error.code),
    onEnd: () => timer.cancel(),
  })
  control.reset(slot)
  const timer = startAttemptTimer({ control, slot, timeoutMs, loadLimitMs, onTimeout: end.timeOut, onUnbegun })

  function recall(): boolean {
    if (end.isOver() || !control.recall(slot)) return false
    end.breakOff('released')
    return true
  }

  return {
    slot,
    outcome: end.outcome,
    recall,
    release() {
      if (!recall()) end.release()
    },
    cancel() {
      end.cancel()
      // What was not begun needs no grace: it ends as what it was to stop for.
      recall()
    },
    kill(error) {
      if (end.isOver()) return
      end.breakOff(failedBy(error))
      onAbandoned(error.code)
    },
    answer: end.answer,
    die: (error) => end.breakOff(failedBy(error)),
    evict: () => end.breakOff('released'),
  }
}
