/** Gives the slots of a claim to jobs that are about to be accepted, of kinds of which nothing waits that goes before. */
import type { TaskKind } from '../../domain/task.ts'
import { taskKinds } from '../../domain/task.ts'
import { threadsOf } from '../slots.ts'
import { dueAtOf, type NewbornJob } from './accept.ts'
import type { DueRequest } from './claim.ts'
import type { Waiting } from './waiting.ts'

export interface Given {
  /** Those that are claimed as they are born, by priority and then in order of acceptance. */
  readonly jobs: readonly NewbornJob[]
  /** What is left to be looked for in the database; null where there is nothing to look for. */
  readonly rest: DueRequest | null
  /** When the next waiting job of the other kinds is due, as far as is known. */
  readonly nextDueAt: number | null
}

/** Marks those that it gives a slot to. @param newborns in order of acceptance */
export function giveSlots(request: DueRequest, newborns: readonly NewbornJob[], waiting: Waiting): Given {
  const limits = new Map(Object.entries(request.taskLimits))
  const jobs: NewbornJob[] = []
  const unknown: TaskKind[] = []
  let nextDueAt = Infinity
  for (const kind of taskKinds) {
    const threads = threadsOf(request.slots, kind)
    if (threads.length === 0) continue
    const next = waiting.nextDueAt(kind, request)
    if (next === undefined) {
      unknown.push(kind)
      continue
    }
    for (const job of inOrder(newborns, kind)) {
      const left = limits.get(job.task) ?? Infinity
      if (job.delayMs > 0 || left <= 0 || request.tasks?.includes(job.task) === false) continue
      const thread = threads.shift()
      if (thread === undefined) break
      limits.set(job.task, left - 1)
      job.thread = thread
      job.startedAt = Math.max(request.at, job.acceptedAt)
      jobs.push(job)
    }
    // Where every slot was filled, the next claim comes when one is free, whatever is due by then.
    if (threads.length === 0) continue
    const delayed = newborns.filter((job) => job.kind === kind && job.delayMs > 0).map(dueAtOf)
    nextDueAt = Math.min(nextDueAt, next ?? Infinity, ...delayed)
  }
  const slots = request.slots.filter(({ kind }) => unknown.includes(kind))
  return {
    jobs,
    rest: slots.length === 0 ? null : { ...request, slots, taskLimits: Object.fromEntries(limits) },
    nextDueAt: Number.isFinite(nextDueAt) ? nextDueAt : null,
  }
}

function inOrder(newborns: readonly NewbornJob[], kind: TaskKind): NewbornJob[] {
  const ofKind = newborns.filter((job) => job.kind === kind && job.thread === null)
  return ofKind.toSorted((a, b) => b.priority - a.priority)
}
