/** Where attempts run, the main thread or the pool: starts them, finds them by job, and stops them. */
import {
  jobKey,
  type Claim,
  type ClaimedJob,
  type AttemptOutcome,
  type JobProgress,
  type Progress,
  failedBy,
} from '../domain/claim.ts'

/** One attempt, as its caller sees it. */
export interface Attempt {
  /** Its one outcome; never rejects. */
  readonly outcome: Promise<AttemptOutcome>
  /** Asks the task to stop, and ends as `released` after the cancel grace unless the task completes before. */
  release(): void
  /** Asks the task to stop because its job was cancelled; after the grace the attempt ends all the same. */
  cancel(): void
  /** The progress that the task has reported; null before it has reported any. */
  progress(): Progress | null
}

export interface Executor {
  /** Runs one attempt; resolves to its outcome and never rejects. */
  run(job: ClaimedJob): Promise<AttemptOutcome>
  /** Asks the attempt under this claim to stop, because its job was cancelled; false when it does not run here. */
  cancel(claim: Claim): boolean
  /** The progress that a job has reported; null before it has reported any, or when it does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  /** Of all jobs that run here and have reported any. */
  allProgress(): JobProgress[]
  /** Resolves when no attempt runs; after `graceMs` those that do are released. */
  stop(graceMs: number): Promise<void>
}

/** The attempt of a job that could not begin at its place. */
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
      // The job was cancelled and is retried: the attempt before is void, and out of reach from now on.
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

interface AttemptStateOptions {
  /** From the request to stop to the end of the attempt, in milliseconds. */
  readonly graceMs: number
  /** Passes the request to stop on to the task; called once at most. */
  readonly onStop: () => void
  /** The task did not end within the grace: the attempt has ended without it. */
  readonly onGraceOver?: (outcome: AttemptOutcome) => void
  readonly onEnd: () => void
}

/**
 * How an attempt ends, wherever it runs: once, with its task's own outcome or, when it was asked to stop and did not in
 * time, with the reason for which it was asked.
 */
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
