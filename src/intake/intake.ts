/**
 * From a checked request to its answer: admitted, committed, its first job run while the others already do, and the
 * answer read from what the store decided.
 */
import type { ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../domain/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { Outcome } from '../domain/job.ts'
import type { RunRequest } from '../domain/run-request.ts'
import type { RunChange, RunRecord } from '../domain/run.ts'
import type { NewRun, Store } from '../store/store.ts'
import { createAdmission } from './admission.ts'
import type { FirstJobs } from './first-job.ts'
import { prepareRun, type PrepareOptions } from './prepare.ts'

export interface Accepted {
  /** As of the commit that decided the answer, or as it is when there is no answer to wait for. */
  readonly run: RunRecord
  /** How long the commit of the run took, and the answer after it; null where none was waited for. Milliseconds. */
  readonly commitMs: number
  readonly answerMs: number | null
}

export interface Intake {
  /**
   * Accepts a run and waits for its answer. With `respond: none`, or when the service leaves meanwhile, it resolves
   * without one. Failures of the deciding task are an answer too and do not reject.
   * @throws AppError for a request that is refused, or `store-unavailable` (with `runId` once it is accepted)
   */
  submit(request: RunRequest): Promise<Accepted>
  open(): void
  /** Refuses new runs from now on; resolves when those on their way into a commit are in it, and begun. */
  close(): Promise<void>
  isOpen(): boolean
  /** The store could not commit an outcome of this run: whoever waits for its answer hears of that. */
  tellUncommitted(runId: string, cause: unknown): void
  /** Sends those who still wait for an answer away without one; resolves when nobody is left. */
  dismiss(): Promise<void>
}

interface ExecuteHooks {
  onSettling(): void
}

export interface IntakeOptions extends PrepareOptions {
  readonly store: Store
  readonly clock: Clock
  readonly firstJobs: FirstJobs
  readonly maxBacklog: number
  /** Jobs may have become claimable. */
  readonly wake: () => void
  /** Runs an attempt at its place and settles it; `onSettling` is called with the outcome on its way to the commit. */
  readonly execute: (
    job: ClaimedJob,
    place: (job: ClaimedJob) => Promise<Outcome | 'released'>,
    hooks: ExecuteHooks,
  ) => Promise<void>
  readonly subscribe: (runId: string, listener: (change: RunChange) => void) => () => void
}

export function createIntake(options: IntakeOptions): Intake {
  const { store, clock, firstJobs, wake, execute, subscribe } = options
  const admission = createAdmission({ maxBacklog: options.maxBacklog, backlog: store.backlog })
  const waiting = new Map<string, PromiseWithResolvers<void>>()
  const submitting = new Set<Promise<Accepted>>()
  const beginning = new Set<Promise<void>>()

  /** Commits the run, and in the same commit claims its jobs as far as there are free slots. */
  async function accept(run: NewRun): Promise<ClaimedJob | null> {
    const leave = admission.admit(run.jobs.length)
    try {
      const accepting = store.accept(run, clock.now())
      wake()
      return await accepting
    } finally {
      leave()
    }
  }

  /**
   * Runs the first job, unless it is null because the pool does. Resolves when the answer is decided, or when nobody
   * is to wait for it any longer.
   */
  async function answer(runId: string, first: ClaimedJob | null, decided: Promise<void>): Promise<RunRecord> {
    const dismissed = Promise.withResolvers<void>()
    let reading: Promise<RunRecord | null> | undefined
    const hooks: ExecuteHooks = {
      onSettling() {
        // Read in the group that commits the outcome: it saves a second way to the store.
        reading = store.getRun(runId)
        // Whoever waits hears of a failing store by the commit.
        reading.catch(() => {})
      },
    }
    if (first !== null) void execute(first, firstJobs.run, hooks)
    waiting.set(runId, dismissed)
    try {
      await Promise.race([decided, dismissed.promise])
    } finally {
      waiting.delete(runId)
    }
    const early = await reading
    return early?.answer ? early : readRun(runId)
  }

  async function readRun(runId: string): Promise<RunRecord> {
    const run = await store.getRun(runId).catch((cause: unknown) => {
      throw new AppError('store-unavailable', 'the run is accepted and cannot be read now', {
        cause,
        members: { runId },
      })
    })
    if (run === null) throw new Error(`run ${runId} is gone while its caller waits`)
    return run
  }

  async function submit(run: NewRun): Promise<Accepted> {
    const { promise: decided, resolve } = Promise.withResolvers<void>()
    // Before the commit, so that no change can be missed.
    const unsubscribe = subscribe(run.id, ({ isAnswered }) => {
      if (isAnswered) resolve()
    })
    try {
      const startedAt = performance.now()
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
      beginning.add(begun)
      const first = await accept(run).finally(() => {
        // After this turn, in which the first job begins.
        setImmediate(() => {
          beginning.delete(begun)
          begin()
        })
      })
      const commitMs = performance.now() - startedAt
      if (run.respond === 'none') return { run: await readRun(run.id), commitMs, answerMs: null }
      const answeredRun = await answer(run.id, first, decided)
      const answerMs = answeredRun.answer === null ? null : performance.now() - startedAt - commitMs
      return { run: answeredRun, commitMs, answerMs }
    } finally {
      unsubscribe()
    }
  }

  return {
    async submit(request) {
      const run = await prepareRun(request, options)
      const submitted = submit(run).finally(() => submitting.delete(submitted))
      submitting.add(submitted)
      return submitted
    },
    open: admission.open,
    async close() {
      admission.close()
      await Promise.all(beginning)
    },
    isOpen: admission.isOpen,
    tellUncommitted(runId, cause) {
      const problem = { cause, members: { runId } }
      const error = new AppError(
        'store-unavailable',
        'the run is accepted; its answer could not be committed yet',
        problem,
      )
      waiting.get(runId)?.reject(error)
    },
    async dismiss() {
      for (const { resolve } of waiting.values()) resolve()
      await Promise.allSettled(submitting)
    },
  }
}
