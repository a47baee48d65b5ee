/**
 * Takes a checked request to its answer: admits the run, has it committed, runs its first job while the pool runs the
 * others, and reads the answer that the store has decided.
 */
import type { ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { RunRequest, NewRun } from '../domain/run/new-run.ts'
import type { RunRecord } from '../domain/run.ts'
import type { RetryResult } from '../domain/run/verbs.ts'
import type { Dispatcher } from '../dispatch/dispatcher.ts'
import type { AcceptReport, RemoveResult, Store } from '../store/store.ts'
import {
  createAdmission,
  createPausedRefusal,
  prepareRun,
  type PrepareOptions,
  refusedRun,
  type RefusedRequest,
  type SubmitOptions,
  waitsForAnswer,
} from './admission.ts'
import { createReplay, noteDeferred, readAccepted, type AnswerWaiters, type Wait } from './answer-waiters.ts'

/** Bounds the instants of commits that are kept: about 1 MB. */
const maxCommits = 10_000

export interface Accepted {
  /** As of the commit that decided the answer; without an answer, as of now. */
  readonly run: RunRecord
  /** How long the commit of the run took, in milliseconds. */
  readonly commitMs: number
  /** How long the answer took after that commit, in milliseconds; null: there was no wait for it. */
  readonly answerMs: number | null
  /** Whether an earlier request with the same idempotency key made this run. */
  readonly isReplayed: boolean
}

export interface Intake {
  /**
   * Accepts a run and waits for its answer. Resolves without an answer with `respond: none`, when the caller's time is up,
   * and when the service leaves. A failure of the deciding task is an answer, too, and does not reject.
   * @throws AppError for a refused request, or `store-unavailable` (with `runId` once the run is accepted)
   */
  submit(request: RunRequest, submitOptions: SubmitOptions): Promise<Accepted>
  /** Pauses a task, so that none of its jobs starts, or resumes it. */
  setPaused(task: string, isPaused: boolean): Promise<void>
  /** Makes the run of a request for which no caller waits, and does not accept it. @throws AppError for an invalid request */
  prepare(request: RunRequest): Promise<NewRun>
  /**
   * Calls the store for something that adds `jobs` jobs, and claims jobs for free slots in the same commit.
   * @throws AppError `shutting-down` or `overloaded`
   */
  admit<Value>(jobs: number, callStore: () => Promise<Value>): Promise<Value>
  /** Accepts the run of a request in the inbox. @throws AppError for an invalid request, and while there is no room */
  takeUp(id: string, request: RunRequest): Promise<void>
  /** Accepts a failed run for an invalid request in the inbox. @throws AppError while there is no room */
  refuse(id: string, refused: RefusedRequest): Promise<void>
  /** Queues a failed or cancelled job again. @throws AppError while there is no room */
  retry(runId: string, jobIndex: number): Promise<RetryResult>
  /** Removes a finished run, unless a caller still waits for its answer and has to read it. */
  remove(runId: string): Promise<RemoveResult>
  /** When the run was committed, in epoch milliseconds; null: not known, because it was long ago or elsewhere. */
  committedAt(runId: string): number | null
  /** The listener is called when jobs were admitted and are on their way into a commit. */
  onAdmitted(listener: () => void): void
  open(): void
  /** Refuses new runs. Resolves when those that `submit`, `takeUp` and `refuse` admitted are committed and have started. */
  close(): Promise<void>
  isOpen(): boolean
  /** Refuses a request early, before its body is read; `submit` checks again. @throws AppError `shutting-down` or `overloaded` */
  checkRoom(): void
  /** Ends all waits for answers; resolves when every caller has its response. */
  dismiss(): Promise<void>
}

interface IntakeOptions extends Omit<PrepareOptions, 'isPaused'> {
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
  const refusePaused = createPausedRefusal(store, clock)
  const prepareOptions = { ...options, isPaused: (task: string) => store.pausedTasks().has(task) }
  const listeners: (() => void)[] = []
  const submitting = new Set<Promise<Accepted>>()
  const starting = new Set<Promise<void>>()
  /** Instants of commits, by run. Not stored with the run, because that would take a second write. */
  const commits = new Map<string, number>()

  const prepare = (request: RunRequest): Promise<NewRun> =>
    prepareRun(request, { waitMs: 0, idempotency: null, traceparent: null }, prepareOptions)

  async function admit<Value>(jobs: number, callStore: () => Promise<Value>): Promise<Value> {
    const endAdmission = admission.admit(jobs)
    try {
      const reply = callStore()
      dispatcher.wake()
      for (const listener of listeners) listener()
      return await reply
    } finally {
      endAdmission()
    }
  }

  /** @param onAccepting called when the run is on its way into a commit */
  async function accept(run: NewRun, onAccepting?: () => void): Promise<AcceptReport> {
    const { promise: started, resolve: markStarted } = Promise.withResolvers<void>()
    starting.add(started)
    try {
      const report = await admit(run.jobs.length, () => {
        const accepting = store.accept(run, clock.now())
        onAccepting?.()
        return accepting
      })
      if (report.result === 'accepted') noteCommit(run.id)
      return report
    } finally {
      // The caller of `accept` starts the first job in microtasks, which all run before an immediate.
      setImmediate(() => {
        starting.delete(started)
        markStarted()
      })
    }
  }

  function noteCommit(runId: string): void {
    commits.set(runId, clock.now())
    const [oldest] = commits.size > maxCommits ? commits.keys() : []
    if (oldest !== undefined) commits.delete(oldest)
  }

  /** Runs the first job and waits for the answer. @param first null: the pool runs it */
  async function runToAnswer(runId: string, first: ClaimedJob | null, ended: Wait['ended']): Promise<RunRecord> {
    const groupRead = createGroupRead(runId)
    if (first !== null) void dispatcher.runFirst(first, { onSettling: groupRead.start })
    const asCommitted = await ended
    const asFirstSettled = await groupRead.result()
    // It has no answer if another job decides.
    return asFirstSettled?.answer ? asFirstSettled : (asCommitted?.() ?? readRun(runId))
  }

  /** Reads a run in the group that commits its change, which saves a round trip. `start` it right after the call of the verb. */
  function createGroupRead(runId: string) {
    let reading: Promise<RunRecord | null> | undefined
    return {
      start() {
        reading = readAccepted(store, runId)
        // The commit of the same group reports a failing store.
        reading.catch(() => {})
      },
      result: () => reading,
    }
  }

  async function readRun(runId: string): Promise<RunRecord> {
    const run = await readAccepted(store, runId)
    if (run === null) throw new Error(`run ${runId} is gone while its caller waits`)
    return run
  }

  async function acceptAndAnswer(run: NewRun, submitOptions: SubmitOptions): Promise<Accepted> {
    const startedAt = performance.now()
    const waits = waitsForAnswer(run, submitOptions)
    const wait = answerWaiters.enter(run.id, submitOptions.waitMs)
    try {
      const groupRead = createGroupRead(run.id)
      const report = await accept(run, waits ? undefined : groupRead.start)
      const commitMs = performance.now() - startedAt
      if (report.result === 'reused') throw reused(report.runId)
      if (report.result === 'replayed') {
        const replayed = await replay(report, submitOptions.waitMs)
        // The run was removed in between together with its key, so this is a first request again.
        if (replayed === null) return await acceptAndAnswer(run, submitOptions)
        return { run: replayed, commitMs, answerMs: null, isReplayed: true }
      }
      const withoutAnswer = { commitMs, answerMs: null, isReplayed: false }
      if (!waits) return { run: (await groupRead.result()) ?? (await readRun(run.id)), ...withoutAnswer }
      const record = await runToAnswer(run.id, report.first, wait.ended)
      const answerMs = performance.now() - startedAt - commitMs
      if (record.answer !== null) return { run: record, commitMs, answerMs, isReplayed: false }
      if (run.idempotency !== null) await noteDeferred(store, run.id)
      return { run: record, ...withoutAnswer }
    } finally {
      wait.leave()
    }
  }

  return {
    async submit(request, submitOptions) {
      const run = await prepareRun(request, submitOptions, prepareOptions)
      await refusePaused(run)
      const submitted = acceptAndAnswer(run, submitOptions).finally(() => submitting.delete(submitted))
      submitting.add(submitted)
      return submitted
    },
    committedAt: (runId) => commits.get(runId) ?? null,
    prepare,
    admit,
    async takeUp(id, request) {
      await accept({ ...(await prepare(request)), id, isFromInbox: true })
    },
    async refuse(id, refused) {
      await accept(refusedRun(id, refused, options.webhookUrl))
    },
    retry: (runId, jobIndex) => admit(1, () => store.retry(runId, jobIndex, clock.now())),
    async setPaused(task, isPaused) {
      const reply = store.setPaused(task, isPaused)
      // Claims the waiting jobs of a resumed task in the same commit.
      if (!isPaused) dispatcher.wake()
      await reply
    },
    remove: async (runId) => (answerWaiters.isWaitedFor(runId) ? 'active' : store.remove(runId)),
    onAdmitted: (listener) => void listeners.push(listener),
    open: admission.open,
    async close() {
      admission.close()
      await Promise.all(starting)
    },
    isOpen: admission.isOpen,
    checkRoom: admission.checkRoom,
    async dismiss() {
      answerWaiters.dismiss()
      await Promise.allSettled(submitting)
    },
  }
}

function reused(runId: string): AppError {
  const detail = 'another request, with another body, has used this Idempotency-Key'
  return new AppError('idempotency-key-reused', detail, { members: { runId } })
}
