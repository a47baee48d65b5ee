/**
 * Claims: free slots go to waiting jobs, by priority, and to jobs that are accepted in the same commit. A claim makes no
 * query for a kind whose queue is known to be empty.
 */
import type { ClaimedJob, FreeSlots } from '../../../domain/claim.ts'
import { jobAt, resultsFor, type Run } from '../../../domain/run/aggregate.ts'
import { claimedJob, claimJobs, type ClaimPick, expiresAt } from '../../../domain/run/transitions.ts'
import type { TaskKind } from '../../../domain/task.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { isApart } from '../../apart.ts'
import { type ClaimRequest, type ClaimResult, runnerOf, freeThreads } from '../../claim-requests.ts'
import {
  type DueJobs,
  type DueRequest,
  findDue,
  findSuspect,
  kindsWithSlots,
  type WaitingJob,
} from '../statements/queue.ts'
import type { RecordDecoder } from '../statements/records.ts'
import { type ClaimLimits, lockedMs, type PausedTasks, type RateLimits, type TaskStart } from '../statements/tasks.ts'
import type { EmptyQueueCache, NoteQueue } from './commit-effects.ts'
import { type Context, type Operation, withLookup } from './operations.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** The result of a claim, and the next request if jobs beyond a limit took the places of others; otherwise null. */
export interface Claimed extends ClaimResult {
  readonly rest: DueRequest | null
}

interface ClaimOptions {
  /** Tasks that run here; null: any. */
  readonly tasks: readonly string[] | null
  readonly pausedTasks: Pick<PausedTasks, 'has'>
  readonly rateLimits: RateLimits
  readonly emptyQueues: EmptyQueueCache
  readonly decoder: RecordDecoder
  readonly clock: Clock
}

/** What a claim has read in its transaction. */
interface Reading {
  readonly due: DueJobs
  readonly limits: ClaimLimits
  readonly noteQueue: NoteQueue
}

/** Claims due jobs of the queue, and of the runs that its group accepts. */
export function claimDue(request: DueRequest, options: ClaimOptions): Operation {
  const { tasks, rateLimits, emptyQueues, decoder } = options
  return {
    verb: 'claim',
    runIds: [],
    lookup() {
      const known = { ...request, taskLimits: rateLimits.knownLimits(request) }
      const kinds = kindsWithSlots(request).filter((kind) => emptyQueues.nextDueAt(kind, known) === undefined)
      if (kinds.length === 0) return null
      const noteQueue = emptyQueues.beforeQuery()
      const slots = request.slots.filter(({ kind }) => kinds.includes(kind))
      return async (query) => {
        const limits = await rateLimits.lock(query, request)
        const due = await findDue(query, { ...request, slots, taskLimits: limits.taskLimits }, tasks, decoder)
        return { records: due.records, apply: applyClaim(request, options, { due, limits, noteQueue }) }
      }
    },
    apply: applyClaim(request, options, null),
  }
}

/** @param reading null: no job in the queue can be due, so nothing was read */
function applyClaim(request: DueRequest, options: ClaimOptions, reading: Reading | null) {
  const { rateLimits, emptyQueues, clock } = options
  return (unit: UnitOfWork, context: Context): Claimed => {
    const { due = null, limits = rateLimits.unlocked(request) } = reading ?? {}
    const bounded = { ...request, taskLimits: limits.taskLimits }
    const accepted = acceptedJobs(unit, request.at, options)
    const choice = choose(bounded, { due, accepted, emptyQueues })
    const { picked, openKinds } = choice
    const at = limits.hasLocked ? clock.now() : request.at
    const { jobs, starts } = start(unit, context, { picked, due, limits, at })
    const rest = due && restOf(bounded, due, choice)
    // Not noted for a claim that has left out due jobs on purpose.
    if (reading !== null && rest === null && request.mayHaveLostStart) {
      context.onCommitted(() => noteQueues(reading, choice))
    }
    // An accepted job of a task with a rate is left to the next claim, which locks the rate.
    const isLeftForLock = ({ task, kind, isDue }: WaitingJob): boolean =>
      isDue && limits.needsLock(task) && openKinds.includes(kind)
    let ratedAt = Infinity
    if (accepted.some(isLeftForLock)) ratedAt = at
    else if (openKinds.length > 0) ratedAt = at + limits.nextInMs(starts)
    const next = Math.min(choice.nextDueAt, ratedAt)
    return { jobs, nextDueAt: Number.isFinite(next) ? next : null, rest }
  }
}

/** Jobs of the runs that the group accepts, as far as they may run here. */
function acceptedJobs(unit: UnitOfWork, at: number, { tasks, pausedTasks }: ClaimOptions): WaitingJob[] {
  const mayRun = ({ task }: WaitingJob): boolean => tasks?.includes(task) !== false && !pausedTasks.has(task)
  return unit.added().flatMap((run) => waitingJobs(run, at).filter(mayRun))
}

/** Notes when the next job of each open kind is due. Earlier ones can only be of tasks at their limit. */
function noteQueues({ due, noteQueue }: Reading, { openKinds, taskLimits }: Choice): void {
  const atLimit = [...taskLimits].flatMap(([task, left]) => (left <= 0 ? [task] : []))
  for (const kind of openKinds) noteQueue(kind, due.nextDueAt.get(kind), atLimit)
}

/** Claims one suspect. */
export function claimSuspect(request: ClaimRequest, options: ClaimOptions): Operation {
  const { tasks, rateLimits, decoder, clock } = options
  return withLookup('claim', async (query) => {
    const limits = await rateLimits.lock(query, request)
    const due = await findSuspect(query, { ...request, taskLimits: limits.taskLimits }, tasks, decoder)
    return {
      records: due.records,
      apply(unit, context): Claimed {
        const [job] = due.jobs
        const [thread] = job === undefined ? [] : freeThreads(request.slots, job.kind)
        const picked = job === undefined || thread === undefined ? [] : [pick(request, job, thread)]
        const at = limits.hasLocked ? clock.now() : request.at
        const { jobs } = start(unit, context, { picked, due, limits, at })
        return { jobs, nextDueAt: null, rest: null }
      },
    }
  })
}

/** The waiting jobs of a run that is being accepted. */
function waitingJobs({ id, jobs }: Run, at: number): WaitingJob[] {
  return jobs.flatMap((job, jobIndex) => {
    const { kind, task, priority, runAt } = job
    if (runAt === null || (expiresAt(job) ?? Infinity) <= at) return []
    const input = isApart(job.input) ? null : job.input
    return [{ runId: id, jobIndex, kind, task, priority, runAt, isDue: runAt <= job.queuedAt, input }]
  })
}

interface Picked extends ClaimPick {
  readonly job: WaitingJob
}

function pick(request: ClaimRequest, job: WaitingJob, thread: string): Picked {
  return { job, jobIndex: job.jobIndex, thread: runnerOf(request, job.task, thread) }
}

interface Choice {
  readonly picked: readonly Picked[]
  /** When the next job is due that may be claimed; Infinity: never. */
  readonly nextDueAt: number
  /** Kinds with a slot left: no further job of theirs that may be claimed is due. */
  readonly openKinds: readonly TaskKind[]
  /** How many more jobs of these tasks may be claimed. */
  readonly taskLimits: ReadonlyMap<string, number>
}

interface Candidates {
  /** null: none in the queue. */
  readonly due: DueJobs | null
  /** Jobs of runs that the group accepts. */
  readonly accepted: readonly WaitingJob[]
  readonly emptyQueues: EmptyQueueCache
}

/** Gives the free slots to due jobs, in order. */
function choose(request: DueRequest, { due, accepted, emptyQueues }: Candidates): Choice {
  const taskLimits = new Map(Object.entries(request.taskLimits))

  /** Takes threads from the list. */
  function take(candidates: readonly WaitingJob[], threads: string[]): Picked[] {
    const picked: Picked[] = []
    for (const job of candidates) {
      const left = taskLimits.get(job.task)
      if (left !== undefined && left <= 0) continue
      const thread = threads.shift()
      if (thread === undefined) break
      if (left !== undefined) taskLimits.set(job.task, left - 1)
      picked.push(pick(request, job, thread))
    }
    return picked
  }

  function chooseOf(kind: TaskKind) {
    const threads = freeThreads(request.slots, kind)
    const isOfKind = (job: WaitingJob): boolean => job.kind === kind
    const inQueue = due?.jobs.filter(isOfKind) ?? []
    const added = accepted.filter(isOfKind)
    const picked = take([...inQueue, ...added.filter(({ isDue }) => isDue)].toSorted(inOrder), threads)
    // Every slot is filled: the next claim comes when one is free.
    if (threads.length === 0) return { kind, picked, nextDueAt: Infinity, isOpen: false }
    if (due?.skipped.includes(kind) === true) {
      return { kind, picked, nextDueAt: request.at + lockedMs, isOpen: false }
    }
    const nextInQueue = due?.nextDueAt.has(kind) ? due.nextDueAt.get(kind) : emptyQueues.nextDueAt(kind, request)
    const later = added.filter(({ isDue }) => !isDue).map(({ runAt }) => runAt)
    return { kind, picked, nextDueAt: Math.min(nextInQueue ?? Infinity, ...later), isOpen: true }
  }

  const choices = kindsWithSlots(request).map(chooseOf)
  return {
    picked: choices.flatMap(({ picked }) => picked),
    nextDueAt: Math.min(...choices.map(({ nextDueAt }) => nextDueAt)),
    openKinds: choices.flatMap(({ kind, isOpen }) => (isOpen ? kind : [])),
    taskLimits,
  }
}

/** By priority, then by due time, so that waiting jobs come before new ones. */
function inOrder(one: WaitingJob, other: WaitingJob): number {
  if (one.priority !== other.priority) return other.priority - one.priority
  if (one.runAt !== other.runAt) return one.runAt - other.runAt
  if (one.runId !== other.runId) return one.runId < other.runId ? -1 : 1
  return one.jobIndex - other.jobIndex
}

interface Start {
  readonly picked: readonly Picked[]
  readonly due: DueJobs | null
  readonly limits: ClaimLimits
  readonly at: number
}

interface Started {
  /** In the order of `picked`. */
  readonly jobs: readonly ClaimedJob[]
  readonly starts: readonly TaskStart[]
}

/** Claims the picked jobs: each run changes once. */
function start(
  unit: UnitOfWork,
  { processId, addClaimed, onCommitted }: Context,
  { picked, due, limits, at }: Start,
): Started {
  const claimed = new Map<string, { readonly run: Run; readonly startedAt: number }>()
  for (const [runId, picks] of Map.groupBy(picked, ({ job }) => job.runId)) {
    const before = unit.find(runId)
    if (before === null) throw new Error(`the run ${runId} was not loaded`)
    // A run of the same commit may be a moment younger than the claim.
    const startedAt = unit.isAdded(before) ? Math.max(at, before.jobs[0]?.queuedAt ?? at) : at
    const run = claimJobs(before, picks, startedAt, processId)
    unit.save(run)
    claimed.set(runId, { run, startedAt })
  }
  const jobs = picked.flatMap(({ job: { runId, runAt, input: inputApart }, jobIndex }) => {
    const found = claimed.get(runId)
    if (found === undefined) return []
    const { run, startedAt } = found
    const job = jobAt(run, jobIndex)
    const input = isApart(job.input) ? inputApart : job.input
    // Without a query every job is new in this commit, and so none has waited for the result of another.
    const after = resultsFor(run, job, (other, otherIndex) => due?.resultOf(runId, other, otherIndex) ?? null)
    return [claimedJob(run, jobIndex, { input, after, waitedMs: Math.max(0, startedAt - runAt) })]
  })
  for (const job of jobs) addClaimed(job)
  const starts = limits.startsOf(jobs)
  unit.noteStarts(starts)
  if (starts.length > 0) onCommitted(() => limits.noteStarted(starts))
  return { jobs, starts }
}

/** The next request, if jobs beyond a limit may have taken the places of others; otherwise null. */
function restOf(request: DueRequest, due: DueJobs, { picked, taskLimits }: Choice): DueRequest | null {
  if (!picked.some(({ job: { task } }) => (taskLimits.get(task) ?? 1) <= 0)) return null
  const taken = ({ thread }: FreeSlots): number =>
    picked.filter((one) => one.thread === runnerOf(request, one.job.task, thread)).length
  const slots = request.slots
    .map((slot) => ({ ...slot, count: slot.count - taken(slot) }))
    .filter(({ count }) => count > 0)
  const wasCut = (kind: TaskKind): boolean =>
    due.jobs.filter((job) => job.kind === kind).length >= freeThreads(request.slots, kind).length
  if (!slots.some(({ kind }) => wasCut(kind))) return null
  return { ...request, slots, taskLimits: Object.fromEntries(taskLimits) }
}
