/** Which jobs a claim takes, as the model has it. */
import type { ClaimedJob } from '../../src/domain/claim.ts'
import type { TaskKind } from '../../src/domain/task.ts'
import type { ClaimRequest, ClaimResult } from '../../src/store/claim-requests.ts'
import { type Reply, wasLost } from './calls.ts'
import { isExpired, isSuspect, type Model, type ModelJob, type ModelRun } from './state.ts'
import { take } from './transitions.ts'

interface Place {
  readonly run: ModelRun
  readonly job: ModelJob
}

const kinds: readonly TaskKind[] = ['cpu', 'io']

const roomFor = ({ slots }: ClaimRequest, kind: TaskKind): number =>
  slots.filter((slot) => slot.kind === kind).reduce((sum, { count }) => sum + count, 0)

/** In the order in which they are to be claimed. */
function waiting(model: Model, kind: TaskKind): Place[] {
  const places = [...model.runs.values()].flatMap((run) => run.jobs.map((job) => ({ run, job })))
  return places
    .filter(({ job }) => job.runAt !== null && job.given.kind === kind && !model.paused.has(job.given.task))
    .toSorted((a, b) => b.job.given.priority - a.job.given.priority || dueAt(a) - dueAt(b) || compareIds(a, b))
}

const dueAt = ({ job }: Place): number => job.runAt ?? Infinity
/** Ids are made in the order of acceptance. */
const compareIds = (a: Place, b: Place): number =>
  a.run.given.id === b.run.given.id ? a.job.index - b.job.index : a.run.given.id < b.run.given.id ? -1 : 1

/** Those of one kind that fit into its slots, within the limits of their tasks. */
function fitting(places: readonly Place[], room: number, limits: Map<string, number>): Place[] {
  const taken: Place[] = []
  for (const place of places) {
    const { task } = place.job.given
    const left = limits.get(task) ?? Infinity
    if (left <= 0 || taken.length === room) continue
    limits.set(task, left - 1)
    taken.push(place)
  }
  return taken
}

/** How many more jobs of each task may be claimed, and may start. */
function limitsOf(model: Model, { taskLimits, rates = {}, at }: ClaimRequest): Map<string, number> {
  const limits = new Map(Object.entries(taskLimits))
  for (const [task, { limit, perMs }] of Object.entries(rates)) {
    const begun = model.starts.filter((one) => one.task === task && one.at > at - perMs).length
    limits.set(task, Math.min(limits.get(task) ?? limit, limit - begun))
  }
  return limits
}

/** @returns null, or why the reply is wrong */
export function claimJobs(
  model: Model,
  by: number,
  request: ClaimRequest,
  reply: Reply,
  isExact: boolean,
): string | null {
  const { at, only, slots, rates = {} } = request
  if (!wasLost(reply) && !('value' in reply)) return 'it is rejected'
  const claimed = wasLost(reply) ? null : (reply.value as ClaimResult)
  const limits = limitsOf(model, request)
  const canTake = (places: readonly Place[], room: number): boolean =>
    fitting(places, room, limitsOf(model, request)).length > 0
  const picked: Place[] = []
  const later: ModelJob[] = []
  for (const kind of kinds) {
    const room = roomFor(request, kind)
    const places = waiting(model, kind).filter(({ job }) => only === 'all' || isSuspect(job))
    const due = places.filter((place) => dueAt(place) <= at && !isExpired(place.job, at))
    const ofKind = claimed?.jobs.filter((job) => job.kind === kind) ?? []
    const named = claimed === null ? due : due.filter(({ run, job }) => ofKind.some((other) => isOf(other, run, job)))
    const wanted = only === 'all' && isExact ? due : named
    const fit = fitting(wanted, only === 'all' ? room : Math.min(room, 1), limits)
    if (claimed !== null && !isSequence(ofKind, fit)) {
      return `it claims ${show(ofKind)}, not ${show(fit.map(({ run, job }) => [run.given.id, job.index]))}`
    }
    picked.push(...fit)
    if (fit.length < room) later.push(...places.filter((place) => dueAt(place) > at).map(({ job }) => job))
    if (only === 'suspects' && isExact && claimed?.jobs.length === 0 && canTake(due, Math.min(room, 1))) {
      return 'it leaves a suspect'
    }
  }
  // A task that is at its limit may be counted or not: the end of one of its jobs is a reason to claim again.
  const isFree = ({ given: { task } }: ModelJob): boolean => (limits.get(task) ?? 1) > 0
  const next = [later, later.filter(isFree)].map((jobs) => (only === 'all' ? firstDueAt(jobs) : null))
  // When the next one of a task may start whose rate is used up, the store's own clock says.
  const isUsedUp = Object.keys(rates).some((task) => (limits.get(task) ?? 1) <= 0)
  if (isExact && claimed !== null && !isUsedUp && !next.includes(claimed.nextDueAt)) {
    return `the next is due at ${next.join(' or ')}, not ${claimed.nextDueAt}`
  }
  for (const { thread, kind, count } of slots) {
    const used = claimed?.jobs.filter((job) => job.thread === thread) ?? []
    if (used.length > count || used.some((job) => job.kind !== kind)) return `${thread} has no room for them`
  }
  for (const { run, job } of picked) {
    const { task } = job.given
    if (task in rates) model.starts.push({ task, at })
    const taken = claimed?.jobs.find((other) => isOf(other, run, job)) ?? null
    const wrong = take(model, run, job, by, at, taken, taken?.thread ?? '')
    if (wrong !== null) return wrong
  }
  for (const run of new Set(picked.map((place) => place.run))) run.changes += 1
  return null
}

function firstDueAt(jobs: readonly ModelJob[]): number | null {
  const at = Math.min(...jobs.map(({ runAt }) => runAt ?? Infinity))
  return Number.isFinite(at) ? at : null
}

const isOf = (claimed: ClaimedJob, { given }: ModelRun, { index }: ModelJob): boolean =>
  claimed.runId === given.id && claimed.jobIndex === index

function isSequence(claimed: readonly ClaimedJob[], places: readonly Place[]): boolean {
  return (
    claimed.length === places.length &&
    claimed.every((job, nth) => {
      const place = places[nth]
      return place !== undefined && isOf(job, place.run, place.job)
    })
  )
}

const show = (value: unknown): string => JSON.stringify(value)
