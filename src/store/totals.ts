/** Totals by state and since the database was made, so that no request counts runs. */
import { isFinalJob, type JobState, jobStates } from '../domain/job.ts'
import { type RunState, runStates } from '../domain/run.ts'

export interface Totals {
  /** Jobs that were ever accepted, and jobs of these that are final; both include runs that were removed since. */
  accepted: number
  final: number
  readonly runs: Record<RunState, number>
  readonly jobs: Record<JobState, number>
}

export function emptyTotals(): Totals {
  const zeros = <State extends string>(states: readonly State[]) =>
    Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>
  return { accepted: 0, final: 0, runs: zeros(runStates), jobs: zeros(jobStates) }
}

/** @param from null for an accepted job @param to null for a removed job */
export function countJob(totals: Totals, from: JobState | null, to: JobState | null): void {
  if (from === null) totals.accepted += 1
  else totals.jobs[from] -= 1
  if (to !== null) totals.jobs[to] += 1
  const wasFinal = from !== null && isFinalJob(from)
  const isFinal = to === null || isFinalJob(to)
  totals.final += Number(isFinal) - Number(wasFinal)
}

/** @param from null for an accepted run @param to null for a removed run */
export function countRun(totals: Totals, from: RunState | null, to: RunState | null): void {
  if (from !== null) totals.runs[from] -= 1
  if (to !== null) totals.runs[to] += 1
}

/** Number of jobs that are not final. */
export function liveOf({ accepted, final }: Totals): number {
  return accepted - final
}

export interface StoreStats {
  readonly runs: Readonly<Record<RunState, number>>
  readonly jobs: Readonly<Record<JobState, number>>
  /** For how long the longest due job has been due; null: no job is due. */
  readonly oldestQueuedMs: number | null
  /** Number of waiting jobs of each task that no process runs. */
  readonly unknownTasks: Readonly<Record<string, number>>
  /** Jobs that were ever accepted, are final, and are not final; `lost` is the difference, and always 0. */
  readonly conservation: {
    readonly accepted: number
    readonly final: number
    readonly live: number
    readonly lost: number
  }
}

export interface StatsSources extends Pick<StoreStats, 'unknownTasks'> {
  readonly totals: Readonly<Totals>
  /** Number of jobs that are not final, counted from rows. */
  readonly live: number
  /** Since when the longest due job has been due; null: no job is due. */
  readonly oldestDueAt: number | null
}

export function storeStats({ totals, live, oldestDueAt, unknownTasks }: StatsSources, at: number): StoreStats {
  const { runs, jobs, accepted, final } = totals
  const oldestQueuedMs = oldestDueAt === null ? null : Math.max(0, at - oldestDueAt)
  return {
    runs,
    jobs,
    oldestQueuedMs,
    unknownTasks,
    conservation: { accepted, final, live, lost: liveOf(totals) - live },
  }
}
