/** One attempt as a pipeline: run at its place, excused, committed until it is on disk, and reported; and its steps. */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { claimOf, type AttemptOutcome, type ClaimedJob, type StepKeeper } from '../domain/claim.ts'
import { AppError } from '../domain/errors.ts'
import { backOffMs, retryDelayMs, type JobError } from '../domain/job.ts'
import type { Clock } from '../runtime/clock.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import type { Log } from '../log.ts'
import type { SettleResult } from '../domain/run/verbs.ts'
import type { Store } from '../store/store.ts'

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
  /** Jobs may be claimable: this one was handed back or will be retried, or others have waited for its result. */
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

export function createExecute(options: ExecuteOptions): Execute {
  const { store, clock, log, signal, isLeaving, onUncommitted, onWaiting, onEnded } = options

  /**
   * The terminal and some supervisors signal the child processes of tasks together with the service, and connections
   * end: a task that fails while the service leaves may have failed by that. It is handed back, and fails again if not.
   */
  async function excuse(outcome: AttemptOutcome): Promise<AttemptOutcome> {
    const code = errorOf(outcome)?.code
    if (code !== 'task_error' && code !== 'crashed') return outcome
    // The signal to this process may have come with it, and is heard before the next turn.
    await turn()
    return isLeaving() ? 'released' : outcome
  }

  /** Tries until the outcome is on disk; null when the service stopped before. */
  async function commit({ job, outcome }: Ended, hooks: ExecuteHooks): Promise<Committed | null> {
    const delayMs = isRetried(job, outcome) ? retryDelayMs(job.attempt) : null
    for (let failures = 1; !signal.aborted; failures += 1) {
      // Computed for each try: the clock may have been set since the last one.
      const retryAt = delayMs === null ? null : clock.now() + delayMs
      try {
        const settling = settle(job, outcome, retryAt)
        hooks.onSettling?.()
        return { settled: await settling, retryAt }
      } catch (error) {
        log.error({ ...idsOf(job), err: error }, 'an outcome could not be committed; trying again')
        onUncommitted(job.runId, error)
        await pauseAfter(failures, signal)
      }
    }
    log.warn(idsOf(job), 'an outcome was not committed before the service stopped: the job will run again')
    return null
  }

  function settle(job: ClaimedJob, outcome: AttemptOutcome, retryAt: number | null): Promise<SettleResult> {
    const claim = claimOf(job)
    // Of a cancelled attempt the claim is void, and nothing is written. If it is not, the job is handed back: it has not
    // failed.
    if (outcome === 'released' || isCancelled(outcome)) return store.release(claim, clock.now())
    if (outcome.ok) return store.complete(claim, outcome.result, clock.now())
    return store.fail(claim, outcome.error, retryAt, clock.now())
  }

  function report(ended: Ended, { settled, retryAt }: Committed): void {
    const { job, outcome } = ended
    const isHandedBack = outcome === 'released' || isCancelled(outcome)
    const isFinal = settled === 'settled' && !isHandedBack && retryAt === null
    const wasStopped = settled === 'settled' && isCancelled(outcome)
    logOutcome(log, job, outcome, retryAt, settled)
    onEnded({ ...ended, isFinal, wasStopped })
    if (outcome === 'released' || wasStopped || retryAt !== null || job.isAwaited === true) onWaiting()
  }

  return async (job, place, hooks = {}) => {
    const startedAt = performance.now()
    const outcome = await excuse(await place(job))
    const ended = { job, outcome, tookMs: performance.now() - startedAt }
    const committed = await commit(ended, hooks)
    if (committed !== null) report(ended, committed)
  }
}

type Ended = Pick<EndedAttempt, 'job' | 'outcome' | 'tookMs'>

interface Committed {
  readonly settled: SettleResult
  /** null where no attempt follows. */
  readonly retryAt: number | null
}

function errorOf(outcome: AttemptOutcome): JobError | null {
  return outcome === 'released' || outcome.ok ? null : outcome.error
}

function isCancelled(outcome: AttemptOutcome): boolean {
  return errorOf(outcome)?.code === 'cancelled'
}

function isRetried(job: ClaimedJob, outcome: AttemptOutcome): boolean {
  return outcome !== 'released' && !outcome.ok && outcome.isRetryable && job.attempt < job.maxAttempts
}

function idsOf({ runId, jobIndex, task, attempt, traceparent }: ClaimedJob): object {
  return { runId, jobIndex, task, attempt, ...traceFields(traceparent) }
}

function logOutcome(
  log: Log,
  job: ClaimedJob,
  outcome: AttemptOutcome,
  retryAt: number | null,
  settled: SettleResult,
): void {
  const ids = idsOf(job)
  const error = errorOf(outcome)
  // The cancel of a job has logged that.
  if (settled === 'stale' && isCancelled(outcome)) return
  if (settled === 'stale') log.info(ids, 'an outcome came too late: the job was settled or claimed again before')
  else if (outcome === 'released') log.info(ids, 'job released')
  else if (outcome.ok) log.debug(ids, 'job completed')
  else if (retryAt === null) log.warn({ ...ids, error }, 'job failed')
  else log.warn({ ...ids, error, retryAt: new Date(retryAt).toISOString() }, 'attempt failed')
}

export interface StepKeeperOptions {
  readonly store: Pick<Store, 'keepStep' | 'stepsOf'>
  readonly clock: Clock
  readonly log: Log
}

/**
 * Keeps the steps of attempts in the store. A step whose work is done must not be lost for a moment in which nothing can
 * be committed: it is tried again, as an outcome is, and its task waits meanwhile.
 */
export function createStepKeeper({ store, clock, log }: StepKeeperOptions): StepKeeper & { stop(): void } {
  const stopping = new AbortController()
  const { signal } = stopping

  async function persist<Value>(fields: object, ask: () => Promise<Value>): Promise<Value> {
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        return await ask()
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'store-unavailable') throw error
        log.error({ ...fields, err: error }, 'a step could not be committed or read; trying again')
        await pauseAfter(failures, signal)
      }
    }
    throw new Error('the service stopped before the step was committed or read')
  }

  return {
    keep({ runId, jobIndex, claim }, step) {
      const fields = { runId, jobIndex, step: step.name }
      return persist(fields, () => store.keepStep(claimOf({ runId, jobIndex, claim }), step, clock.now()))
    },
    stored: ({ runId, jobIndex, claim }, from) =>
      persist({ runId, jobIndex }, () => store.stepsOf(claimOf({ runId, jobIndex, claim }), from)),
    stop: () => stopping.abort(),
  }
}

const firstPauseMs = 50
const maxPauseMs = 2_000

/** The pause between two tries to commit something; resolves at once when the signal is aborted. @param failures so far, 1 after the first */
async function pauseAfter(failures: number, signal: AbortSignal): Promise<void> {
  await sleep(backOffMs(failures, firstPauseMs, maxPauseMs), undefined, { signal }).catch(() => {})
}
