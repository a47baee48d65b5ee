/**
 * Claims: free slots go to waiting jobs and to jobs that are accepted in the same commit, by priority. A claim
 * makes no query for a kind whose queue is known to be empty.
 */
import type { ClaimedJob } from '../../../domain/claim.ts'
import { jobAt, type Run } from '../../../domain/run/aggregate.ts'
import { resultsFor } from '../../../domain/run/chains.ts'
import { claimedJob, claimJobs, type ClaimPick, expiresAt } from '../../../domain/run/transitions.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { isApart } from '../../apart.ts'
import { type ClaimRequest, type ClaimResult, placeOf, threadsOf } from '../../claim-request.ts'
import type { Operation } from './operations.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { PausedTasks, TaskStart } from '../statements/tasks.ts'
import { type Due, type DueRequest, type Look, lookForDue, lookForSuspect, slotsLeft } from '../statements/queue.ts'
import type { Readable } from '../statements/records.ts'
import type { RateLimits } from './rate-limits.ts'
import type { UnitOfWork } from './unit-of-work.ts'
import type { EmptyQueueCache } from './commit-effects.ts'

/** The result of a claim, and what is left to ask for if jobs beyond a limit took the places of others. */
export interface Claimed extends ClaimResult {
  readonly rest: DueRequest | null
}

interface Picked extends ClaimPick {
  readonly due: Due
}

interface Choice {
  readonly picked: readonly Picked[]
  /** Infinity without one. */
  readonly nextDueAt: number
  /** Kinds with a slot left: no job that may be claimed is due. */
  readonly open: readonly TaskKind[]
  /** How many more jobs of these tasks may be claimed. */
  readonly limits: ReadonlyMap<string, number>
}

/** After this time a claim looks again for jobs that another transaction had locked. */
const lockedMs = 5

export interface ClaimOptions {
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  readonly pausedTasks: Pick<PausedTasks, 'has'>
  readonly rateLimits: RateLimits
  readonly emptyQueues: EmptyQueueCache
  readonly readable: Readable
  readonly clock: Clock
}

export function claimDue(request: DueRequest, options: ClaimOptions): Operation {
  const { tasks, pausedTasks, rateLimits, emptyQueues, readable, clock } = options
  const turn = rateLimits.begin(request)
  let look: Look | null = null
  let note: ReturnType<EmptyQueueCache['look']> | null = null
  let starts: readonly TaskStart[] = []
  let learned: (() => void)[] = []

  return {
    verb: 'claim',
    runIds: [],
    look() {
      look = null
      const known = { ...request, taskLimits: turn.known() }
      const unknown = taskKinds.filter((kind) => isAsked(request, kind) && !isKnownEmpty(emptyQueues, kind, known))
      if (unknown.length === 0) return null
      note = emptyQueues.look()
      const slots = request.slots.filter(({ kind }) => unknown.includes(kind))
      return async (query) => {
        await turn.look(query)
        look = await lookForDue(query, { ...request, slots, taskLimits: turn.limits() }, tasks, readable)
        return look.records
      }
    },
    apply(unit, { process, give }): Claimed {
      const bounded = { ...request, taskLimits: turn.limits() }
      const added = unit.added().flatMap((run) => waitingIn(run, request.at))
      const claimable = added.filter(({ task }) => tasks?.includes(task) !== false && !pausedTasks.has(task))
      const choice = choose(bounded, look, claimable, emptyQueues)
      const startedAt = turn.hasLooked() ? clock.now() : request.at
      const jobs = claimPicked(unit, choice.picked, look, startedAt, process)
      for (const job of jobs) give(job)
      starts = turn.startsOf(jobs)
      unit.noteStarts(starts)
      const isLeft = ({ task, kind, isDue }: Due): boolean => isDue && turn.isUnread(task) && choice.open.includes(kind)
      const waitMs = claimable.some(isLeft) ? 0 : choice.open.length > 0 ? turn.nextInMs(starts) : Infinity
      const nextDueAt = Math.min(choice.nextDueAt, startedAt + waitMs)
      const atLimit = [...choice.limits].flatMap(([task, left]) => (left <= 0 ? [task] : []))
      const rest = restOf(bounded, look, jobs, choice.limits)
      // Jobs beyond a limit may be due.
      const learn = rest === null && request.mayHaveLostStart ? note : null
      learned = choice.open.flatMap((kind) => {
        const nextOfKind = look?.nextDueAt.get(kind)
        return learn !== null && nextOfKind !== undefined ? [() => learn(kind, nextOfKind, atLimit)] : []
      })
      return { jobs, nextDueAt: Number.isFinite(nextDueAt) ? nextDueAt : null, rest }
    },
    onCommitted() {
      turn.keep(starts)
      for (const learn of learned) learn()
    },
  }
}

/** Claims one suspect. */
export function claimSuspect(request: ClaimRequest, options: ClaimOptions): Operation {
  const { tasks, rateLimits, readable, clock } = options
  const turn = rateLimits.begin(request)
  let look: Look | null = null
  let starts: readonly TaskStart[] = []
  return {
    verb: 'claim',
    runIds: [],
    look: () => async (query) => {
      turn.known()
      await turn.look(query)
      look = await lookForSuspect(query, { ...request, taskLimits: turn.limits() }, tasks, readable)
      return look.records
    },
    apply(unit, { process, give }): Claimed {
      const [due] = look?.due ?? []
      const slot = due && threadsOf(request.slots, due.kind)[0]
      const thread = slot && placeOf(request, due.task, slot)
      const picked = due && thread !== undefined ? [{ due, jobIndex: due.jobIndex, thread }] : []
      const jobs = claimPicked(unit, picked, look, turn.hasLooked() ? clock.now() : request.at, process)
      for (const job of jobs) give(job)
      starts = turn.startsOf(jobs)
      unit.noteStarts(starts)
      return { jobs, nextDueAt: null, rest: null }
    },
    onCommitted: () => turn.keep(starts),
  }
}

function isAsked({ slots }: ClaimRequest, kind: TaskKind): boolean {
  return threadsOf(slots, kind).length > 0
}

function isKnownEmpty(emptyQueues: EmptyQueueCache, kind: TaskKind, request: ClaimRequest): boolean {
  return emptyQueues.nextDueAt(kind, request) !== undefined
}

/** The waiting jobs of a run that is being accepted. */
export function waitingIn({ id, jobs }: Run, at: number): Due[] {
  return jobs.flatMap((job, jobIndex) => {
    const { kind, task, priority, runAt } = job
    if (runAt === null || (expiresAt(job) ?? Infinity) <= at) return []
    const input = isApart(job.input) ? null : job.input
    return [{ runId: id, jobIndex, kind, task, priority, runAt, isDue: runAt <= job.queuedAt, input }]
  })
}

function choose(request: DueRequest, look: Look | null, added: readonly Due[], emptyQueues: EmptyQueueCache): Choice {
  const { at } = request
  const limits = new Map(Object.entries(request.taskLimits))
  const picked: Picked[] = []
  const open: TaskKind[] = []
  let next = Infinity
  for (const kind of taskKinds) {
    const threads = threadsOf(request.slots, kind)
    if (threads.length === 0) continue
    const starting = added.filter((job) => job.kind === kind)
    const looked = look?.nextDueAt.has(kind) === true
    const found = looked ? look.due.filter((job) => job.kind === kind) : []
    const candidates = [...found, ...starting.filter(({ isDue }) => isDue)]
    for (const due of candidates.toSorted(inOrder)) {
      const left = limits.get(due.task) ?? Infinity
      if (left <= 0) continue
      const thread = threads.shift()
      if (thread === undefined) break
      limits.set(due.task, left - 1)
      picked.push({ due, jobIndex: due.jobIndex, thread: placeOf(request, due.task, thread) })
    }
    // If every slot was filled, the next claim comes when one is free.
    if (threads.length === 0) continue
    if (look?.skipped.includes(kind) === true) {
      next = Math.min(next, at + lockedMs)
      continue
    }
    open.push(kind)
    const later = looked ? look.nextDueAt.get(kind) : emptyQueues.nextDueAt(kind, request)
    next = Math.min(next, later ?? Infinity, ...starting.filter(({ isDue }) => !isDue).map(({ runAt }) => runAt))
  }
  // Leaves out tasks without a limit.
  for (const task of limits.keys()) if (!Object.hasOwn(request.taskLimits, task)) limits.delete(task)
  return { picked, nextDueAt: next, open, limits }
}

/** By priority, then by due time, so that waiting jobs come before new ones. */
function inOrder(one: Due, other: Due): number {
  if (one.priority !== other.priority) return other.priority - one.priority
  if (one.runAt !== other.runAt) return one.runAt - other.runAt
  if (one.runId !== other.runId) return one.runId < other.runId ? -1 : 1
  return one.jobIndex - other.jobIndex
}

/** Claims the chosen jobs, each run once, and returns them in the order of the choice. */
function claimPicked(
  unit: UnitOfWork,
  picked: readonly Picked[],
  look: Look | null,
  at: number,
  process: number,
): ClaimedJob[] {
  const claimed = new Map<string, { readonly run: Run; readonly startedAt: number }>()
  for (const [runId, picks] of Map.groupBy(picked, ({ due }) => due.runId)) {
    const run = unit.find(runId)
    if (run === null) throw new Error(`the run ${runId} was not loaded`)
    // A run of the same commit may be a moment younger than the claim.
    const startedAt = unit.isAdded(run) ? Math.max(at, run.jobs[0]?.queuedAt ?? at) : at
    const after = claimJobs(run, picks, startedAt, process)
    unit.save(after)
    claimed.set(runId, { run: after, startedAt })
  }
  return picked.flatMap(({ due: { runId, runAt, input: apart }, jobIndex }) => {
    const found = claimed.get(runId)
    if (found === undefined) return []
    const { run, startedAt } = found
    const job = jobAt(run, jobIndex)
    const input = isApart(job.input) ? apart : job.input
    // Without a query no job is older than this commit, and so none has waited for another.
    const after = resultsFor(run, job, (other, place) => look?.resultOf(runId, other, place) ?? null)
    return [claimedJob(run, jobIndex, input, Math.min(runAt, startedAt), startedAt, after)]
  })
}

/** The next request, if jobs beyond a limit may have taken the places of others; otherwise null. */
function restOf(
  request: DueRequest,
  look: Look | null,
  jobs: readonly ClaimedJob[],
  limits: ReadonlyMap<string, number>,
): DueRequest | null {
  const slots = slotsLeft(request, jobs)
  const isCut = (kind: TaskKind): boolean => {
    const asked = threadsOf(request.slots, kind).length
    return (look?.due.filter((due) => due.kind === kind).length ?? 0) >= asked
  }
  const hasReached = jobs.some(({ task }) => (limits.get(task) ?? 1) <= 0)
  if (!hasReached || !slots.some(({ kind }) => isCut(kind))) return null
  return { ...request, slots, taskLimits: Object.fromEntries(limits) }
}
