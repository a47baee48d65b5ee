/**
 * From a checked request to its answer: admitted, committed, its first job run while the others already do, and the
 * answer read from what the store decided.
 */
import type { ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { RunRequest, NewRun } from '../domain/run/new-run.ts'
import type { RunRecord } from '../domain/run.ts'
import { keptUrl } from '../domain/webhook.ts'
import type { RetryResult } from '../domain/run/verbs.ts'
import type { Dispatcher } from '../dispatch/dispatcher.ts'
import type { AcceptReport, RemoveResult, Store } from '../store/store.ts'
import {
  createAdmission,
  prepareRun,
  type PrepareOptions,
  type SubmitOptions,
  createPausedRefusal,
} from './admission.ts'
import { createReplay, deferAccepted, readAccepted, type AnswerWaiters, type Wait } from './answer-waiters.ts'

/** About 1 MB. */
const keptCommits = 10_000

export interface Accepted {
  /** As of the commit that decided the answer, or as it is when there is no answer to wait for. */
  readonly run: RunRecord
  /** How long the commit of the run took, and the answer after it; null where none was waited for. Milliseconds. */
  readonly commitMs: number
  readonly answerMs: number | null
  /** Whether this run was made by an earlier request with the same idempotency key. */
  readonly isReplayed: boolean
}

export interface Intake {
  /**
   * Accepts a run and waits for its answer. With `respond: none`, when the caller's time is up, or when the service
   * leaves meanwhile, it resolves without one. Failures of the deciding task are an answer too and do not reject.
   * @throws AppError for a request that is refused, or `store-unavailable` (with `runId` once it is accepted)
   */
  submit(request: RunRequest, submitOptions: SubmitOptions): Promise<Accepted>
  /** Has no job of the task start until that is resumed, or resumes it. */
  setPaused(task: string, isPaused: boolean): Promise<void>
  /** The run of a request that nobody waits for, not accepted yet. @throws AppError where it cannot be run */
  prepare(request: RunRequest): Promise<NewRun>
  /**
   * Asks the store for something that adds `jobs` jobs, and in the same commit for claims of free slots.
   * @throws AppError `shutting-down` or `overloaded`
   */
  admit<Value>(jobs: number, ask: () => Promise<Value>): Promise<Value>
  /**
   * Accepts the run that the inbox asks for under this id; nobody waits for its answer.
   * @throws AppError for a request that is refused, and where there is no room
   */
  takeUp(id: string, request: RunRequest): Promise<void>
  /** Accepts a failed run in its place. @throws AppError */
  refuse(id: string, refusal: Refusal): Promise<void>
  /** Queues a failed or cancelled job again. @throws AppError when there is no room for it */
  retry(runId: string, jobIndex: number): Promise<RetryResult>
  /** Forgets a finished run, unless a caller still waits for its answer and must read it first. */
  remove(runId: string): Promise<RemoveResult>
  /** When the commit of a run was over, in epoch milliseconds; null but for the latest that were accepted here. */
  committedAt(runId: string): number | null
  /** Calls back when something was admitted, and is on its way into a commit. */
  onAdmitted(listener: () => void): void
  open(): void
  /** Refuses new runs from now on; resolves when those on their way into a commit are in it, and begun. */
  close(): Promise<void>
  isOpen(): boolean
  /** For refusing a request before it is read; `submit` decides. @throws AppError `shutting-down` or `overloaded` */
  checkRoom(): void
  /** Ends the waits for answers that are not there yet; resolves when no caller is left. */
  dismiss(): Promise<void>
}

/** A request that is not valid. */
export interface Refusal {
  readonly task: string
  readonly tags: readonly string[]
  readonly message: string
}

export interface IntakeOptions extends Omit<PrepareOptions, 'isPaused'> {
  readonly store: Store
  readonly clock: Clock
  readonly dispatcher: Pick<Dispatcher, 'wake' | 'runFirst'>
  readonly answerWaiters: AnswerWaiters
  readonly maxBacklog: number
}

export function createIntake(options: IntakeOptions): Intake {
  const { store, clock, dispatcher, answerWaiters } = options
  const admission = createAdmission({ maxBacklog: options.maxBacklog, backlog: store.backlog })
  const replay = createReplay(store, answerWaiters)
  const refusePaused = createPausedRefusal(options)
  const prepare = { ...options, isPaused: (task: string) => store.pausedTasks().has(task) }
  const listeners: (() => void)[] = []
  const submitting = new Set<Promise<Accepted>>()
  const beginning = new Set<Promise<void>>()
  /** Stored with the run it would take a second write. */
  const commits = new Map<string, number>()

  async function admit<Value>(jobs: number, ask: () => Promise<Value>): Promise<Value> {
    const leave = admission.admit(jobs)
    try {
      const asking = ask()
      dispatcher.wake()
      for (const listener of listeners) listener()
      return await asking
    } finally {
      leave()
    }
  }

  /** @param onAsked called when the run is on its way into a commit */
  async function accept(run: NewRun, onAsked?: () => void): Promise<AcceptReport> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    beginning.add(begun)
    try {
      const report = await admit(run.jobs.length, () => {
        const accepting = store.accept(run, clock.now())
        onAsked?.()
        return accepting
      })
      if (report.result === 'accepted') noteCommit(run.id)
      return report
    } finally {
      // After this turn, in which the first job begins.
      setImmediate(() => {
        beginning.delete(begun)
        begin()
      })
    }
  }

  function noteCommit(runId: string): void {
    commits.set(runId, clock.now())
    const [oldest] = commits.size > keptCommits ? commits.keys() : []
    if (oldest !== undefined) commits.delete(oldest)
  }

  /** Runs the first job, unless it is null because the pool does; resolves when the wait has ended. */
  async function answer(runId: string, first: ClaimedJob | null, ended: Wait['ended']): Promise<RunRecord> {
    const { read, reading } = readInGroup(runId)
    if (first !== null) void dispatcher.runFirst(first, { onSettling: read })
    const asCommitted = await ended
    const early = await reading()
    return early?.answer ? early : (asCommitted?.() ?? readRun(runId))
  }

  /** Reads a run in the group that commits a change of it, which saves a second way to the store. Call `read` after the verb. */
  function readInGroup(runId: string) {
    let reading: Promise<RunRecord | null> | undefined
    return {
      read() {
        reading = readAccepted(store, runId)
        // Callers learn of a failing store from the commit.
        reading.catch(() => {})
      },
      reading: () => reading,
    }
  }

  async function readRun(runId: string): Promise<RunRecord> {
    const run = await readAccepted(store, runId)
    if (run === null) throw new Error(`run ${runId} is gone while its caller waits`)
    return run
  }

  async function submit(run: NewRun, submitOptions: SubmitOptions): Promise<Accepted> {
    const startedAt = performance.now()
    const isDeferred = run.respond === 'none' || submitOptions.waitMs === 0
    const wait = answerWaiters.enter(run.id, submitOptions.waitMs)
    try {
      const { read, reading } = readInGroup(run.id)
      const report = await accept(run, isDeferred ? read : undefined)
      const commitMs = performance.now() - startedAt
      if (report.result === 'reused') throw reused(report.runId)
      if (report.result === 'replayed') {
        const known = await replay(report, submitOptions.waitMs)
        // Forgotten in between, and its key with it: this is a first request again.
        if (known === null) return await submit(run, submitOptions)
        return { run: known, commitMs, answerMs: null, isReplayed: true }
      }
      const noAnswer = { commitMs, answerMs: null, isReplayed: false }
      if (isDeferred) return { run: (await reading()) ?? (await readRun(run.id)), ...noAnswer }
      const answered = await answer(run.id, report.first, wait.ended)
      if (answered.answer !== null) {
        return { run: answered, commitMs, answerMs: performance.now() - startedAt - commitMs, isReplayed: false }
      }
      if (run.idempotency !== null) await deferAccepted(store, run.id)
      return { run: answered, ...noAnswer }
    } finally {
      wait.leave()
    }
  }

  return {
    async submit(request, submitOptions) {
      const run = await prepareRun(request, submitOptions, prepare)
      await refusePaused(run)
      const submitted = submit(run, submitOptions).finally(() => submitting.delete(submitted))
      submitting.add(submitted)
      return submitted
    },
    committedAt: (runId) => commits.get(runId) ?? null,
    prepare: (request) => prepareRun(request, { waitMs: 0, idempotency: null }, prepare),
    admit,
    async takeUp(id, request) {
      const run = await prepareRun(request, { waitMs: 0, idempotency: null }, prepare)
      await accept({ ...run, id, isFromInbox: true })
    },
    async refuse(id, refusal) {
      await accept(refusedRun(id, refusal, options.webhookUrl))
    },
    retry: (runId, jobIndex) => admit(1, () => store.retry(runId, jobIndex, clock.now())),
    async setPaused(task, isPaused) {
      const setting = store.setPaused(task, isPaused)
      // What waited is claimed in the same commit.
      if (!isPaused) dispatcher.wake()
      await setting
    },
    remove: async (runId) => (answerWaiters.isWaitedFor(runId) ? 'active' : store.remove(runId)),
    onAdmitted: (listener) => void listeners.push(listener),
    open: admission.open,
    async close() {
      admission.close()
      await Promise.all(beginning)
    },
    isOpen: admission.isOpen,
    checkRoom: admission.checkRoom,
    async dismiss() {
      answerWaiters.dismiss()
      await Promise.allSettled(submitting)
    },
  }
}

/** A run that fails as it is accepted. Its job has no attempts, so it cannot be retried. */
function refusedRun(id: string, { task, tags, message }: Refusal, webhookUrl: string): NewRun {
  return {
    id,
    respond: 'none',
    onFirstFailure: 'continue',
    tags,
    traceparent: null,
    webhook: webhookUrl === '' ? null : keptUrl(webhookUrl),
    jobs: [{ task, kind: 'io', input: null, priority: 0, timeoutMs: 0, maxAttempts: 0, delayMs: 0 }],
    claimsFirst: false,
    idempotency: null,
    isFromInbox: true,
    refusal: message,
  }
}

function reused(runId: string): AppError {
  const detail = 'another request, with another body, has used this Idempotency-Key'
  return new AppError('idempotency-key-reused', detail, { members: { runId } })
}
