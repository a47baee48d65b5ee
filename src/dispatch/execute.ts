/** One attempt as a pipeline: run it, excuse its failure, commit its outcome, report it. Also keeps its steps. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type AttemptOutcome, type ClaimedJob, claimOf, type RunAttempt, type StepKeeper } from '../domain/claim.ts'
import { AppError } from '../domain/errors.ts'
import { backOffMs, retryDelayMs, type JobError } from '../domain/job.ts'
import type { Clock } from '../runtime/clock.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import type { Log } from '../log.ts'
import type { SettleResult } from '../domain/run/verbs.ts'
import type { Store } from '../store/store.ts'

export interface ExecuteHooks {
  /** Called in each try to commit, once the store has the outcome: a read that starts in this call sees the run after it. */
  readonly onSettling?: () => void
}

/** Resolves when the job is settled; never rejects. */
export type Execute = (job: ClaimedJob, runAttempt: RunAttempt, hooks?: ExecuteHooks) => Promise<void>

export interface ExecuteOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Aborted when the service stops: jobs whose outcomes are not committed by then run again after the next start. */
  readonly signal: AbortSignal
  /** Whether the service was asked to leave. */
  readonly isLeaving: () => boolean
  /** Called for each failed try to commit an outcome; further tries follow. */
  readonly onUncommitted: (runId: string, error: unknown) => void
  /** Called when jobs may be claimable: this one is queued again, or others waited for its result. */
  readonly onWaiting: () => void
  readonly onEnded: (attempt: EndedAttempt) => void
}

/** An attempt that has ended and whose outcome is committed. */
export interface EndedAttempt {
  readonly job: ClaimedJob
  readonly outcome: AttemptOutcome
  /** From the start of its execution to its outcome, in milliseconds. */
  readonly tookMs: number
  /** Whether the job completed or failed for good. */
  readonly isFinal: boolean
  /** Whether the outcome was `cancelled` and the claim still valid: the job is queued again. */
  readonly wasStopped: boolean
}

export function createExecute(options: ExecuteOptions): Execute {
  const { store, clock, log, signal, isLeaving, onUncommitted, onWaiting, onEnded } = options

  /**
   * Hands back a job that failed while the service leaves: terminals and some supervisors signal the child processes of
   * tasks together with the service, and connections close. If the failure had another cause, the job fails again.
   */
  async function excuse(outcome: AttemptOutcome): Promise<AttemptOutcome> {
    const code = errorOf(outcome)?.code
    if (code !== 'task_error' && code !== 'crashed') return outcome
    // A signal that arrived together with the failure is handled before the next turn.
    await nextTurn()
    return isLeaving() ? 'released' : outcome
  }

  /** Tries until the outcome is committed; null: the service stopped before. */
  async function commit({ job, outcome }: AttemptResult, hooks: ExecuteHooks): Promise<Committed | null> {
    const delayMs = isRetried(job, outcome) ? retryDelayMs(job.attempt) : null
    for (let failures = 1; !signal.aborted; failures += 1) {
      // Computed for each try, because the clock can be set in between.
      const retryAt = delayMs === null ? null : clock.now() + delayMs
      try {
        const settling = settle(job, outcome, retryAt)
        hooks.onSettling?.()
        return { result: await settling, retryAt }
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
    // The claim of a cancelled attempt is void, and nothing is written, unless a failover of the database lost the cancel or
    // a task forged the outcome. Then the job has not failed, and is handed back.
    if (outcome === 'released' || isCancelled(outcome)) return store.release(claim, clock.now())
    if (outcome.ok) return store.complete(claim, outcome.result, clock.now())
    return store.fail(claim, outcome.error, retryAt, clock.now())
  }

  function report(attempt: AttemptResult, committed: Committed): void {
    const { job, outcome } = attempt
    const isSettled = committed.result === 'settled'
    const wasStopped = isSettled && isCancelled(outcome)
    const isQueuedAgain = isSettled && (outcome === 'released' || wasStopped || committed.retryAt !== null)
    logOutcome(log, attempt, committed)
    onEnded({ ...attempt, isFinal: isSettled && !isQueuedAgain, wasStopped })
    if (isQueuedAgain || job.isAwaited === true) onWaiting()
  }

  return async (job, runAttempt, hooks = {}) => {
    const startedAt = performance.now()
    const outcome = await excuse(await runAttempt(job))
    const attempt = { job, outcome, tookMs: performance.now() - startedAt }
    const committed = await commit(attempt, hooks)
    if (committed !== null) report(attempt, committed)
  }
}

type AttemptResult = Pick<EndedAttempt, 'job' | 'outcome' | 'tookMs'>

interface Committed {
  readonly result: SettleResult
  /** When the job is to be retried; null: it is not. */
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

function logOutcome(log: Log, { job, outcome }: AttemptResult, { result, retryAt }: Committed): void {
  const ids = idsOf(job)
  const error = errorOf(outcome)
  const isStale = result === 'stale'
  // The cancel itself was logged.
  if (isStale && isCancelled(outcome)) return
  if (isStale) log.info(ids, 'an outcome came too late: the job was settled or claimed again before')
  else if (outcome === 'released' || isCancelled(outcome)) log.info(ids, 'job released')
  else if (outcome.ok) log.debug(ids, 'job completed')
  else if (retryAt === null) log.warn({ ...ids, error }, 'job failed')
  else log.warn({ ...ids, error, retryAt: new Date(retryAt).toISOString() }, 'attempt failed')
}

interface StepKeeperOptions {
  readonly store: Pick<Store, 'keepStep' | 'stepsOf'>
  readonly clock: Clock
  readonly log: Log
}

/**
 * Keeps the steps of attempts in the store. While the store cannot commit, a step is tried again like an outcome, and its
 * task waits, so that no finished work is lost; `giveUp` ends these waits.
 */
export function createStepKeeper({ store, clock, log }: StepKeeperOptions): StepKeeper & { giveUp(): void } {
  const givingUp = new AbortController()
  const { signal } = givingUp

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
    giveUp: () => givingUp.abort(),
  }
}

const firstPauseMs = 50
const maxPauseMs = 2_000

/** The pause between two tries to commit; resolves at once when the signal is aborted. @param failures 1 after the first */
async function pauseAfter(failures: number, signal: AbortSignal): Promise<void> {
  await sleep(backOffMs(failures, firstPauseMs, maxPauseMs), undefined, { signal }).catch(() => {})
}
