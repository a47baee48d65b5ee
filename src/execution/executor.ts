/** Runs attempts, on the main thread or in the pool: starts them, finds them by job, and asks them to stop. */
import {
  jobKey,
  type Claim,
  type ClaimedJob,
  type AttemptOutcome,
  type JobProgress,
  type Progress,
  failedBy,
} from '../domain/claim.ts'

export interface Attempt {
  /** Never rejects. */
  readonly outcome: Promise<AttemptOutcome>
  /** Asks the task to stop; the attempt ends as `released`, at the latest after the grace, unless the task completes. */
  release(): void
  /** Asks the task to stop; the attempt ends as `cancelled`, at the latest after the grace. */
  cancel(): void
  /** The progress that the task has reported; null before it has reported any. */
  progress(): Progress | null
}

export interface Executor {
  /** Runs one attempt; resolves to its outcome and never rejects. */
  run(job: ClaimedJob): Promise<AttemptOutcome>
  /** Cancels the attempt under this claim; false when it does not run here. */
  cancel(claim: Claim): boolean
  /** The progress that a job has reported; null before it has reported any, and when it does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  /** The progress of all jobs that run here and have reported any. */
  allProgress(): JobProgress[]
  /** Waits until no attempt runs; after `graceMs` it releases those that still run. */
  stop(graceMs: number): Promise<void>
}

/** The attempt of a job that cannot begin here: it is handed back at once. */
export const notStarted: Attempt = {
  outcome: Promise.resolve('released'),
  release() {},
  cancel() {},
  progress: () => null,
}

/** @param start begins an attempt; must not throw */
export function createExecutor(start: (job: ClaimedJob) => Attempt): Executor {
  const running = new Map<string, { readonly job: ClaimedJob; readonly attempt: Attempt }>()

  return {
    async run(job) {
      const key = jobKey(job)
      const attempt = start(job)
      // The job was cancelled and retried. The claim of the earlier attempt is void, and `running` no longer finds it.
      running.get(key)?.attempt.cancel()
      const entry = { job, attempt }
      running.set(key, entry)
      const outcome = await attempt.outcome
      if (running.get(key) === entry) running.delete(key)
      return outcome
    },
    cancel(claim) {
      const found = running.get(jobKey(claim))
      if (found?.job.claim !== claim.claim) return false
      found.attempt.cancel()
      return true
    },
    progress: (runId, jobIndex) => running.get(jobKey({ runId, jobIndex }))?.attempt.progress() ?? null,
    allProgress: () =>
      [...running.values()].flatMap(({ job: { runId, jobIndex }, attempt }) => {
        const progress = attempt.progress()
        return progress === null ? [] : [{ runId, jobIndex, ...progress }]
      }),
    async stop(graceMs) {
      const timer = setTimeout(() => {
        for (const { attempt } of running.values()) attempt.release()
      }, graceMs)
      await Promise.all([...running.values()].map(({ attempt }) => attempt.outcome))
      clearTimeout(timer)
    },
  }
}

/** The outcome of an attempt that was asked to stop. */
type StopOutcome = Exclude<AttemptOutcome, { readonly ok: true }>

interface AttemptStateOptions {
  /** From a request to stop to the end of the attempt, in milliseconds. */
  readonly graceMs: number
  /** Passes the request to stop to the task; called once at most. */
  readonly onStop: () => void
  /** The attempt has ended after the grace, and the task goes on. */
  readonly onGraceOver?: (outcome: StopOutcome) => void
  readonly onEnd: () => void
}

/**
 * Ends an attempt once: with its task's own outcome or, when it was asked to stop, with the outcome of the first such
 * request. After `release`, a task that completes keeps its result.
 */
export function createAttemptState({ graceMs, onStop, onGraceOver, onEnd }: AttemptStateOptions) {
  const { promise, resolve } = Promise.withResolvers<AttemptOutcome>()
  let isOver = false
  /** The outcome of the request to stop; null before there is one. */
  let stoppedAs: StopOutcome | null = null
  let graceTimer: NodeJS.Timeout | undefined

  function askToStop(outcome: StopOutcome): void {
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
    release: (): void => askToStop('released'),
    cancel: (): void =>
      askToStop({ ok: false, error: { code: 'cancelled', message: 'cancelled on request' }, isRetryable: false }),
    timeOut: (message: string): void => askToStop(failedBy({ code: 'timeout', message })),
    /** The task has ended, or was not begun. */
    finish(outcome: AttemptOutcome): void {
      const hasCompleted = outcome !== 'released' && outcome.ok
      end(stoppedAs === null || (stoppedAs === 'released' && hasCompleted) ? outcome : stoppedAs)
    },
    /** Something other than the task ends the attempt, with this outcome unless it was asked to stop before. */
    breakOff: (outcome: AttemptOutcome): void => end(stoppedAs ?? outcome),
  }
}
