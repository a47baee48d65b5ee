/** Totals by state and since the beginning, so that no reply needs a count over the runs. */
import { isFinalJob, type JobState, jobStates } from '../domain/job.ts'
import { type RunState, runStates } from '../domain/run.ts'

export interface Totals {
  /** Jobs ever accepted, and jobs settled for good; both include runs that were forgotten since. */
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

/** `from` null: accepted; `to` null: forgotten. */
export function countJob(totals: Totals, from: JobState | null, to: JobState | null): void {
  if (from === null) totals.accepted += 1
  else totals.jobs[from] -= 1
  if (to !== null) totals.jobs[to] += 1
  const wasFinal = from !== null && isFinalJob(from)
  const isFinal = to === null || isFinalJob(to)
  totals.final += Number(isFinal) - Number(wasFinal)
}

/** `from` null: accepted; `to` null: forgotten. */
export function countRun(totals: Totals, from: RunState | null, to: RunState | null): void {
  if (from !== null) totals.runs[from] -= 1
  if (to !== null) totals.runs[to] += 1
}

/** Jobs not yet final. */
export function liveOf({ accepted, final }: Totals): number {
  return accepted - final
}

export interface StoreStats {
  readonly runs: Readonly<Record<RunState, number>>
  readonly jobs: Readonly<Record<JobState, number>>
  /** How long the longest-waiting due job has been due; null when none waits. */
  readonly oldestQueuedMs: number | null
  /** Waiting jobs of tasks that no process runs, by task: how many. */
  readonly unknownTasks: Readonly<Record<string, number>>
  /** Jobs ever accepted, settled for good, and still to settle; `lost` is what is missing in between: always 0. */
  readonly conservation: {
    readonly accepted: number
    readonly final: number
    readonly live: number
    readonly lost: number
  }
}

/**
 * @param live jobs not yet final, counted from rows
 * @param oldestDueAt since when the longest-waiting due job has been due; null when none waits
 */
export function storeStats(
  totals: Readonly<Totals>,
  live: number,
  oldestDueAt: number | null,
  unknownTasks: StoreStats['unknownTasks'],
  at: number,
): StoreStats {
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
