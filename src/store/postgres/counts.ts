/** What one transaction changes of the totals, which are summed up in the table tally. */
import { isFinalJob, jobStates, type JobState } from '../../domain/job.ts'
import { runStates, type RunState } from '../../domain/run.ts'
import type { Row } from './rows.ts'

export interface Counts {
  /** Jobs ever accepted, and jobs settled for good; both include runs that were forgotten since. */
  accepted: number
  final: number
  readonly runs: Record<RunState, number>
  readonly jobs: Record<JobState, number>
}

export function createCounts(): Counts {
  const zeros = <State extends string>(states: readonly State[]) =>
    Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>
  return { accepted: 0, final: 0, runs: zeros(runStates), jobs: zeros(jobStates) }
}

/** `from` null: accepted; `to` null: forgotten. */
export function countJob(counts: Counts, from: JobState | null, to: JobState | null): void {
  if (from === null) counts.accepted += 1
  else counts.jobs[from] -= 1
  if (to !== null) counts.jobs[to] += 1
  const wasFinal = from !== null && isFinalJob(from)
  const isFinal = to === null || isFinalJob(to)
  counts.final += Number(isFinal) - Number(wasFinal)
}

export function countRun(counts: Counts, from: RunState | null, to: RunState | null): void {
  if (from !== null) counts.runs[from] -= 1
  if (to !== null) counts.runs[to] += 1
}

/** Jobs not yet final. */
export function liveOf({ accepted, final }: Counts): number {
  return accepted - final
}

const columns = [
  'accepted',
  'final',
  ...runStates.map((state) => `runs_${state}`),
  ...jobStates.map((state) => `jobs_${state}`),
]

/** In the order of the columns. */
export function valuesOf({ accepted, final, runs, jobs }: Counts): number[] {
  return [accepted, final, ...runStates.map((state) => runs[state]), ...jobStates.map((state) => jobs[state])]
}

export function countsOf(row: Row): Counts {
  const counts = createCounts()
  const read = (column: string): number => Number(row[column] ?? 0)
  counts.accepted = read('accepted')
  counts.final = read('final')
  for (const state of runStates) counts.runs[state] = read(`runs_${state}`)
  for (const state of jobStates) counts.jobs[state] = read(`jobs_${state}`)
  return counts
}

/** The sum of every total over the rows that are selected from tally. */
export const sumColumns = columns.map((column) => `coalesce(sum(${column}), 0) AS ${column}`).join(', ')
export const columnList = columns.join(', ')
/** So many values follow the parameters before them. */
export const placeholdersFrom = (first: number): string => columns.map((_, index) => `$${first + index}`).join(', ')
/** Adds what is to be inserted to what is there. */
export const additions = columns.map((column) => `${column} = t.${column} + excluded.${column}`).join(', ')
