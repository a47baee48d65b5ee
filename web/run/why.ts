/** Describes in one sentence why a job waits, from the service's `waiting`. Pure. */
import type { JobView } from 'forerunner/client'
import { clockOf, countOf, durationOf } from '../time/format.ts'

/** @param now the service's time, in epoch milliseconds */
export function whyOf(job: JobView, now: number): string {
  const { task, attempt, waiting, waitsFor, runAt } = job
  const until = waiting?.until ?? runAt
  const when = until === null ? 'soon' : `at ${clockOf(until)}, in ${durationOf(Date.parse(until) - now)}`
  switch (waiting?.reason) {
    case 'blocked':
      return `It needs ${waitsFor.length === 1 ? 'the result of job' : 'the results of jobs'} ${listOf(waitsFor)}.`
    case 'delay':
      return `It is due ${when}: that is its delay.`
    case 'retry':
      return `Attempt ${attempt + 1} is due ${when}.`
    case 'paused':
      return `The task ${task} is paused: its jobs wait until it is resumed.`
    case 'unknown-task':
      return `No process has the task ${task}: it waits for a version that has it.`
    case 'limit':
      return `${countOf(waiting.limit ?? 1, 'job')} of ${task} ${waiting.limit === 1 ? 'runs' : 'run'}, and no more may at once.`
    case 'rate':
      return `${countOf(waiting.limit ?? 1, 'job')} of ${task} may start in ${durationOf(waiting.perMs ?? 0)}; the next one may ${when}.`
    case 'thread':
      return placeOf(waiting.ahead)
    case undefined:
      return 'It is due.'
    default:
      // A reason that only a newer service knows.
      return `It waits: ${String(waiting?.reason)}.`
  }
}

function listOf(indexes: readonly number[]): string {
  return indexes.length < 2 ? indexes.join('') : `${indexes.slice(0, -1).join(', ')} and ${indexes.at(-1)}`
}

function placeOf(ahead: number | undefined): string {
  if (ahead === undefined) return 'It is due, and starts as soon as a thread is free.'
  if (ahead === 0) return 'It is the next one to start: it waits for a free thread.'
  return `${countOf(ahead, 'job')} ${ahead === 1 ? 'is' : 'are'} before it in the queue.`
}
