/**
 * Claims: free slots go to waiting jobs and to jobs that are accepted in the same commit, by priority. A claim
 * makes no query for a kind whose queue is known to be empty.
 */
import type { ClaimedJob, FreeSlots } from '../../../domain/claim.ts'
import { jobAt, resultsFor, type Run } from '../../../domain/run/aggregate.ts'
import { claimedJob, claimJobs, type ClaimPick, expiresAt } from '../../../domain/run/transitions.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { isApart } from '../../apart.ts'
import { type ClaimRequest, type ClaimResult, placeOf, threadsOf } from '../../claim-requests.ts'
import { type Due, type DueJobs, type DueRequest, lookForDue, lookForSuspect } from '../statements/queue.ts'
import type { Readable } from '../statements/records.ts'
import type { PausedTasks, TaskStart } from '../statements/tasks.ts'
import type { EmptyQueueCache, Learn } from './commit-effects.ts'
import { type Context, lookingFor, type Operation } from './operations.ts'
import type { ClaimLimits, RateLimits } from './rate-limits.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** The result of a claim, and what is left to ask for if jobs beyond a limit took the places of others. */
export interface Claimed extends ClaimResult {
  readonly rest: DueRequest | null
}

export interface ClaimOptions {
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  readonly pausedTasks: Pick<PausedTasks, 'has'>
  readonly rateLimits: RateLimits
  readonly emptyQueues: EmptyQueueCache
  readonly readable: Readable
  readonly clock: Clock
}

/** What the transaction of a claim has read, and how the claim notes what it has not found. */
interface Seen {
  readonly due: DueJobs
  readonly limits: ClaimLimits
  readonly learn: Learn
}

/** Claims due jobs of the queue, and of the runs that its group accepts. */
export function claimDue(request: DueRequest, options: ClaimOptions): Operation {
  const { tasks, pausedTasks, rateLimits, emptyQueues, readable, clock } = options

  /** @param seen null: no job can be due in the queue, which was not looked at */
  function apply(unit: UnitOfWork, context: Context, seen: Seen | null): Claimed {
    const { due = null, limits = rateLimits.none(request) } = seen ?? {}
    const bounded = { ...request, taskLimits: limits.taskLimits }
    const accepted = unit.added().flatMap((run) => waitingIn(run, request.at))
    const claimable = accepted.filter(({ task }) => tasks?.includes(task) !== false && !pausedTasks.has(task))
    const { picked, open, taskLimits, nextDueAt } = choose(bounded, due, claimable, emptyQueues)
    const startedAt = limits.hasLooked ? clock.now() : request.at
    const { jobs, starts } = start(unit, context, picked, due, limits, startedAt)
    const rest = restOf(bounded, due, jobs, taskLimits)
    // Jobs beyond a limit may be due.
    if (seen !== null && rest === null && request.mayHaveLostStart) {
      const atLimit = [...taskLimits].flatMap(([task, left]) => (left <= 0 ? [task] : []))
      context.onCommitted(() => {
        for (const kind of open) seen.learn(kind, seen.due.nextDueAt.get(kind), atLimit)
      })
    }
    const isLeft = ({ task, kind, isDue }: Due): boolean => isDue && limits.isUnread(task) && open.includes(kind)
    const waitMs = claimable.some(isLeft) ? 0 : open.length > 0 ? limits.nextInMs(starts) : Infinity
    const next = Math.min(nextDueAt, startedAt + waitMs)
    return { jobs, nextDueAt: Number.isFinite(next) ? next : null, rest }
  }

  return {
    verb: 'claim',
    runIds: [],
    look() {
      const known = { ...request, taskLimits: rateLimits.known(request) }
      const kindsToLookFor = taskKinds.filter((kind) => {
        return threadsOf(request.slots, kind).length > 0 && emptyQueues.nextDueAt(kind, known) === undefined
      })
      if (kindsToLookFor.length === 0) return null
      const learn = emptyQueues.look()
      const slots = request.slots.filter(({ kind }) => kindsToLookFor.includes(kind))
      return async (query) => {
        const limits = await rateLimits.look(query, request)
        const due = await lookForDue(query, { ...request, slots, taskLimits: limits.taskLimits }, tasks, readable)
        return { records: due.records, apply: (unit, context) => apply(unit, context, { due, limits, learn }) }
      }
    },
    apply: (unit, context) => apply(unit, context, null),
  }
}

/** Claims one suspect. */
export function claimSuspect(request: ClaimRequest, options: ClaimOptions): Operation {
  const { tasks, rateLimits, readable, clock } = options
  return lookingFor('claim', async (query) => {
    const limits = await rateLimits.look(query, request)
    const due = await lookForSuspect(query, { ...request, taskLimits: limits.taskLimits }, tasks, readable)
    const apply = (unit: UnitOfWork, context: Context): Claimed => {
      const [job] = due.jobs
      const [thread] = job === undefined ? [] : threadsOf(request.slots, job.kind)
      const picked = job === undefined || thread === undefined ? [] : [pick(request, job, thread)]
      const { jobs } = start(unit, context, picked, due, limits, limits.hasLooked ? clock.now() : request.at)
      return { jobs, nextDueAt: null, rest: null }
    }
    return { records: due.records, apply }
  })
}

/** The waiting jobs of a run that is being accepted. */
function waitingIn({ id, jobs }: Run, at: number): Due[] {
  return jobs.flatMap((job, jobIndex) => {
    const { kind, task, priority, runAt } = job
    if (runAt === null || (expiresAt(job) ?? Infinity) <= at) return []
    const input = isApart(job.input) ? null : job.input
    return [{ runId: id, jobIndex, kind, task, priority, runAt, isDue: runAt <= job.queuedAt, input }]
  })
}

interface Picked extends ClaimPick {
  readonly due: Due
}

function pick(request: ClaimRequest, due: Due, thread: string): Picked {
  return { due, jobIndex: due.jobIndex, thread: placeOf(request, due.task, thread) }
}

interface Choice {
  readonly picked: readonly Picked[]
  /** Infinity without one. */
  readonly nextDueAt: number
  /** Kinds with a slot left: no job that may be claimed is due. */
  readonly open: readonly TaskKind[]
  /** How many more jobs of these tasks may be claimed. */
  readonly taskLimits: ReadonlyMap<string, number>
}

/** After this time a claim looks again for jobs that another transaction had locked. */
const lockedMs = 5

/** Gives the free slots to due jobs, in order. @param accepted jobs of runs that the group accepts */
function choose(
  request: DueRequest,
  due: DueJobs | null,
  accepted: readonly Due[],
  emptyQueues: EmptyQueueCache,
): Choice {
  const taskLimits = new Map(Object.entries(request.taskLimits))

  function take(candidates: readonly Due[], threads: string[]): Picked[] {
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

  function chooseOf(kind: TaskKind): Choice {
    const threads = threadsOf(request.slots, kind)
    const isOfKind = (job: Due): boolean => job.kind === kind
    const [now, later] = [true, false].map((isDue) => accepted.filter((job) => isOfKind(job) && job.isDue === isDue))
    const waiting = due?.jobs.filter(isOfKind) ?? []
    const picked = take([...waiting, ...(now ?? [])].toSorted(inOrder), threads)
    // If every slot was filled, the next claim comes when one is free.
    if (threads.length === 0) return { picked, nextDueAt: Infinity, open: [], taskLimits }
    if (due?.skipped.includes(kind) === true) return { picked, nextDueAt: request.at + lockedMs, open: [], taskLimits }
    const nextInQueue = due?.nextDueAt.has(kind) ? due.nextDueAt.get(kind) : emptyQueues.nextDueAt(kind, request)
    const nextDueAt = Math.min(nextInQueue ?? Infinity, ...(later ?? []).map(({ runAt }) => runAt))
    return { picked, nextDueAt, open: [kind], taskLimits }
  }

  const choices = taskKinds.filter((kind) => threadsOf(request.slots, kind).length > 0).map(chooseOf)
  return {
    picked: choices.flatMap(({ picked }) => picked),
    nextDueAt: Math.min(...choices.map(({ nextDueAt }) => nextDueAt)),
    open: choices.flatMap(({ open }) => open),
    taskLimits,
  }
}

/** By priority, then by due time, so that waiting jobs come before new ones. */
function inOrder(one: Due, other: Due): number {
  if (one.priority !== other.priority) return other.priority - one.priority
  if (one.runAt !== other.runAt) return one.runAt - other.runAt
  if (one.runId !== other.runId) return one.runId < other.runId ? -1 : 1
  return one.jobIndex - other.jobIndex
}

interface Started {
  /** In the order of the choice. */
  readonly jobs: readonly ClaimedJob[]
  readonly starts: readonly TaskStart[]
}

/** Claims the chosen jobs, each run once, and gives them to the caller. */
function start(
  unit: UnitOfWork,
  { process, give, onCommitted }: Context,
  picked: readonly Picked[],
  due: DueJobs | null,
  limits: ClaimLimits,
  at: number,
): Started {
  const claimed = new Map<string, { readonly run: Run; readonly startedAt: number }>()
  for (const [runId, picks] of Map.groupBy(picked, (one) => one.due.runId)) {
    const run = unit.find(runId)
    if (run === null) throw new Error(`the run ${runId} was not loaded`)
    // A run of the same commit may be a moment younger than the claim.
    const startedAt = unit.isAdded(run) ? Math.max(at, run.jobs[0]?.queuedAt ?? at) : at
    const after = claimJobs(run, picks, startedAt, process)
    unit.save(after)
    claimed.set(runId, { run: after, startedAt })
  }
  const jobs = picked.flatMap(({ due: { runId, runAt, input: apart }, jobIndex }) => {
    const found = claimed.get(runId)
    if (found === undefined) return []
    const { run, startedAt } = found
    const job = jobAt(run, jobIndex)
    const input = isApart(job.input) ? apart : job.input
    // Without a query no job is older than this commit, and so none has waited for another.
    const after = resultsFor(run, job, (other, place) => due?.resultOf(runId, other, place) ?? null)
    return [claimedJob(run, jobIndex, input, Math.min(runAt, startedAt), startedAt, after)]
  })
  for (const job of jobs) give(job)
  const starts = limits.startsOf(jobs)
  unit.noteStarts(starts)
  if (starts.length > 0) onCommitted(() => limits.keep(starts))
  return { jobs, starts }
}

/** The next request, if jobs beyond a limit may have taken the places of others; otherwise null. */
function restOf(
  request: DueRequest,
  due: DueJobs | null,
  jobs: readonly ClaimedJob[],
  taskLimits: ReadonlyMap<string, number>,
): DueRequest | null {
  const isOn = (slot: FreeSlots, { task, thread }: ClaimedJob): boolean =>
    thread === placeOf(request, task, slot.thread)
  const slots = request.slots
    .map((slot) => ({ ...slot, count: slot.count - jobs.filter((job) => isOn(slot, job)).length }))
    .filter(({ count }) => count > 0)
  const isCut = (kind: TaskKind): boolean => {
    const found = due?.jobs.filter((job) => job.kind === kind).length ?? 0
    return found >= threadsOf(request.slots, kind).length
  }
  const hasReached = jobs.some(({ task }) => (taskLimits.get(task) ?? 1) <= 0)
  if (!hasReached || !slots.some(({ kind }) => isCut(kind))) return null
  return { ...request, slots, taskLimits: Object.fromEntries(taskLimits) }
}
