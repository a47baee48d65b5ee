/** One attempt as a pipeline: run it at its place, decide what follows, and settle it, again and again until it is on disk. */
import { setImmediate as turn } from 'node:timers/promises'
import { claimOf, type ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../domain/clock.ts'
import type { AttemptOutcome, Outcome } from '../domain/job.ts'
import { retryDelayMs } from '../domain/retry.ts'
import type { Log } from '../log.ts'
import type { Settled, Store } from '../store/store.ts'

/** Where an attempt runs. Never rejects. `released`: it did not come to an outcome of its own. */
export type Place = (job: ClaimedJob) => Promise<AttemptOutcome>

export interface ExecuteHooks {
  /** The outcome is on its way into a commit: what is read now is read after that commit. */
  readonly onSettling?: () => void
}

/** Resolves when the job is settled; rejects never. */
export type Execute = (job: ClaimedJob, place: Place, hooks?: ExecuteHooks) => Promise<void>

export interface ExecuteOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Aborted when the service stops: what is not on disk by then is left to the next start. */
  readonly signal: AbortSignal
  /** Whether the service was asked to leave. */
  readonly isLeaving: () => boolean
  /** An outcome of this run could not be committed; it is tried again until it is. */
  readonly onUncommitted: (runId: string, error: unknown) => void
  /** A job that was run waits again: it was handed back, or is to be retried. */
  readonly onWaiting: () => void
  readonly onEnded: (attempt: EndedAttempt) => void
}

/** An attempt that has ended and is on disk. */
export interface EndedAttempt {
  readonly job: ClaimedJob
  readonly outcome: AttemptOutcome
  /** From its way to the thread to its outcome, in milliseconds. */
  readonly tookMs: number
  /** Whether the job is settled with it for good. */
  readonly isFinal: boolean
  /** Whether it was stopped as cancelled though no cancel had ended its claim. */
  readonly wasStopped: boolean
}

const firstRetryMs = 50
const maxRetryMs = 2_000

export function createExecute(options: ExecuteOptions): Execute {
  const { store, clock, log, signal, isLeaving, onUncommitted, onWaiting, onEnded } = options

  function settle(job: ClaimedJob, outcome: AttemptOutcome, retryAt: number | null): Promise<Settled> {
    const claim = claimOf(job)
    // A cancel has ended the claim of a cancelled attempt. Were it not so, the job is handed back, and has not failed.
    if (outcome === 'released' || isCancelled(outcome)) return store.release(claim, clock.now())
    if (outcome.ok) return store.complete(claim, outcome.result, clock.now())
    return store.fail(claim, outcome.error, retryAt, clock.now())
  }

  /**
   * The terminal and some supervisors signal the child processes of tasks together with the service, and connections
   * end: a task that fails while the service leaves may have failed by that. It is handed back, and fails again if not.
   */
  async function excused(outcome: AttemptOutcome): Promise<AttemptOutcome> {
    if (outcome === 'released' || outcome.ok) return outcome
    const { code } = outcome.error
    if (code !== 'task_error' && code !== 'crashed') return outcome
    // The signal to this process may have come with it, and is heard before the next turn.
    await turn()
    return isLeaving() ? 'released' : outcome
  }

  async function settleOnDisk(job: ClaimedJob, outcome: AttemptOutcome, tookMs: number, hooks: ExecuteHooks) {
    const ids = { runId: job.runId, jobIndex: job.jobIndex, task: job.task, attempt: job.attempt }
    const waitMs = retryWaitMs(job, outcome)
    for (let delayMs = firstRetryMs; !signal.aborted; delayMs = Math.min(maxRetryMs, delayMs * 2)) {
      // Not before: the clock may have been set since the last try.
      const retryAt = waitMs === null ? null : clock.now() + waitMs
      try {
        const settling = settle(job, outcome, retryAt)
        hooks.onSettling?.()
        const settled = await settling
        tell(log, ids, outcome, retryAt, settled)
        const isFinal = settled === 'settled' && outcome !== 'released' && !isCancelled(outcome) && retryAt === null
        const wasStopped = settled === 'settled' && outcome !== 'released' && isCancelled(outcome)
        onEnded({ job, outcome, tookMs, isFinal, wasStopped })
        if (outcome === 'released' || wasStopped || retryAt !== null) onWaiting()
        return
      } catch (error) {
        log.error({ ...ids, err: error }, 'an outcome could not be committed; trying again')
        onUncommitted(job.runId, error)
        await sleep(delayMs, signal)
      }
    }
    log.warn(ids, 'an outcome was not committed before the service stopped: the job will run again')
  }

  return async (job, place, hooks = {}) => {
    const startedAt = performance.now()
    const outcome = await excused(await place(job))
    await settleOnDisk(job, outcome, performance.now() - startedAt, hooks)
  }
}

function isCancelled(outcome: Outcome): boolean {
  return !outcome.ok && outcome.error.code === 'cancelled'
}

/** Null where no attempt follows. */
function retryWaitMs(job: ClaimedJob, outcome: AttemptOutcome): number | null {
  if (outcome === 'released' || outcome.ok || !outcome.isRetryable || job.attempt >= job.maxAttempts) return null
  return retryDelayMs(job.attempt)
}

function tell(log: Log, ids: object, outcome: AttemptOutcome, retryAt: number | null, settled: Settled): void {
  // Of a job that was cancelled, the cancel has told it.
  const wasCancelled = outcome !== 'released' && !outcome.ok && outcome.error.code === 'cancelled'
  if (settled === 'stale' && wasCancelled) return
  if (settled === 'stale') log.info(ids, 'an outcome came too late: the job was settled or claimed again before')
  else if (outcome === 'released') log.info(ids, 'job released')
  else if (outcome.ok) log.debug(ids, 'job completed')
  else if (retryAt === null) log.warn({ ...ids, error: outcome.error }, 'job failed')
  else log.warn({ ...ids, error: outcome.error, retryAt: new Date(retryAt).toISOString() }, 'attempt failed')
}

/** Resolves after the delay, or at once when the signal is aborted. */
function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, delayMs)
  const onAbort = (): void => resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  return promise.finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  })
}
