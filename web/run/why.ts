/** Why a job does not run yet, in one sentence with its number, from what the API knows. Pure. */
import type { JobView, RecentView, StatsView, TaskView } from 'forerunner/client'
import { clockOf, countOf, durationOf } from '../time/format.ts'

export interface ServiceState {
  readonly stats: StatsView
  readonly recent: RecentView
  readonly tasks: readonly TaskView[]
}

/** @param now of the service, in epoch milliseconds */
export function whyOf(job: JobView, known: ServiceState | null, now: number): string {
  const { task, state, attempt, runAt, waitsFor } = job
  if (state === 'blocked')
    return `It needs ${waitsFor.length === 1 ? 'the result of job' : 'the results of jobs'} ${listOf(waitsFor)}.`
  const dueAt = runAt === null ? now : Date.parse(runAt)
  if (runAt !== null && dueAt > now) {
    const when = `at ${clockOf(runAt)}, in ${durationOf(dueAt - now)}`
    return state === 'retrying' ? `Attempt ${attempt + 1} is due ${when}.` : `It is due ${when}: that is its delay.`
  }
  if (known === null) return 'It is due.'
  const { stats, recent, tasks } = known
  if (Object.hasOwn(stats.unknownTasks, task)) {
    return `No process has the task ${task}: it waits for a version that has it, with ${countOf(stats.unknownTasks[task] ?? 1, 'job')} of this kind.`
  }
  const { concurrency = null, kind } = tasks.find(({ name }) => name === task) ?? {}
  const running = recent.running.filter((one) => one.task === task).length
  if (concurrency !== null && running >= concurrency) {
    return `${countOf(running, 'job')} of ${task} ${running === 1 ? 'runs' : 'run'}, and no more may at once (concurrency ${concurrency}).`
  }
  const waiting = (stats.jobs.queued ?? 0) + (stats.jobs.retrying ?? 0)
  const threads = stats.threads.filter((thread) => thread.kind === kind)
  const ready = threads.filter((thread) => thread.state === 'ready')
  if (threads.length > 0 && ready.length === 0)
    return `No ${kind} thread is ready: ${countOf(threads.length, 'thread')} ${threads.length === 1 ? 'starts' : 'start'}.`
  const busy = ready.filter((thread) => thread.running > 0).length
  if (kind === 'cpu' && busy === ready.length && busy > 0) {
    return `${busy === 1 ? 'The one cpu thread is' : `All ${busy} cpu threads are`} busy; ${countOf(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'} in all.`
  }
  return `It is due, and ${countOf(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'} in all for a thread.`
}

function listOf(indexes: readonly number[]): string {
  return indexes.length < 2 ? indexes.join('') : `${indexes.slice(0, -1).join(', ')} and ${indexes.at(-1)}`
}
