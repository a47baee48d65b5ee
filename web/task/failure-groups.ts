/** Groups failures whose messages differ only in numbers, ids and names. Pure. */
import type { JobView, RunView } from 'forerunner/client'

export interface FailureGroup {
  /** The common message; `…` marks the parts that differ. */
  readonly says: string
  readonly code: string
  readonly count: number
  /** The number of failures in each part of the time range, oldest first. */
  readonly course: readonly number[]
  /** The newest failure of the group. */
  readonly last: { readonly runId: string; readonly jobIndex: number; readonly at: number }
}

export interface FailureReport {
  readonly groups: readonly FailureGroup[]
  /** Time range of all groups, in epoch milliseconds. */
  readonly from: number
  readonly to: number
}

const parts = 24
/** From the most to the least specific. */
const changing = [
  /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/gi,
  /"[^"]{0,200}"|'[^']{0,200}'|“[^”]{0,200}”/g,
  /\b(?:https?|postgres|redis):\/\/\S+/g,
  /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g,
  /\b(?=[\da-f]*\d)[\da-f]{8,}\b/gi,
  /\d[\d.,:_]*/g,
]

/** @param runs failed runs with a job of the task, newest first @param to now, in epoch milliseconds */
export function groupFailures(task: string, runs: readonly RunView[], to: number): FailureReport {
  const failed = runs.flatMap(({ id, jobs }) =>
    jobs
      .filter((job) => job.task === task && job.state === 'failed' && job.finishedAt !== null)
      .map((job) => ({ runId: id, jobIndex: job.index, at: Date.parse(job.finishedAt ?? ''), error: job.error })),
  )
  const from = Math.min(to - 1, ...failed.map(({ at }) => at))
  const groups = Map.groupBy(failed, ({ error }) => `${error?.code}: ${templateOf(error)}`)
  const found = [...groups.values()].map((members): FailureGroup => {
    const course = Array.from({ length: parts }, () => 0)
    for (const { at } of members) {
      const part = Math.max(0, Math.min(parts - 1, Math.floor((parts * (at - from)) / (to - from))))
      course[part] = (course[part] ?? 0) + 1
    }
    const newest = members.reduce((one, other) => (other.at > one.at ? other : one))
    const { error, ...last } = newest
    return { says: templateOf(error), code: error?.code ?? 'failed', count: members.length, course, last }
  })
  return { groups: found.toSorted((one, other) => other.count - one.count || other.last.at - one.last.at), from, to }
}

export function templateOf(error: JobView['error']): string {
  if (error === null) return 'no error was kept'
  const text = error.name === undefined ? error.message : `${error.name}: ${error.message}`
  return changing.reduce((said, pattern) => said.replaceAll(pattern, '…'), text)
}
