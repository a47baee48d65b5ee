/**
 * Totals by state and since the beginning, so that no reply needs a count over the tables. Kept in memory, written
 * in the transaction that changes them, and taken back when that transaction is.
 */
import type { DatabaseSync } from 'node:sqlite'
import { isFinalJob, jobStates, type JobState } from '../../domain/job.ts'
import { runStates, type RunState } from '../../domain/run.ts'

export interface Totals {
  /** Jobs ever accepted, and jobs settled for good; both include runs that were forgotten since. */
  accepted: number
  final: number
  readonly runs: Record<RunState, number>
  readonly jobs: Record<JobState, number>
}

export interface Tally {
  totals(): Readonly<Totals>
  /** Jobs not yet final. */
  live(): number
  /** `from` null: accepted; `to` null: forgotten. */
  countJob(from: JobState | null, to: JobState | null): void
  countRun(from: RunState | null, to: RunState | null): void
  /** Writes what changed; call within the transaction. */
  save(): void
  /** Call when the transaction was committed. */
  keep(): void
  /** Call when the transaction was taken back. */
  revert(): void
}

export function createTally(database: DatabaseSync): Tally {
  const write = database.prepare('INSERT OR REPLACE INTO tally (id, totals) VALUES (1, ?)')
  const row = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  let committed = row === undefined ? JSON.stringify(emptyTotals()) : String(row['totals'])
  let written = committed
  let totals = parseTotals(committed)
  let live = countLive(database)
  let committedLive = live

  return {
    totals: () => totals,
    live: () => live,
    countJob(from, to) {
      if (from === null) totals.accepted += 1
      if (from !== null) totals.jobs[from] -= 1
      if (to !== null) totals.jobs[to] += 1
      const wasLive = from !== null && !isFinalJob(from)
      const isLive = to !== null && !isFinalJob(to)
      live += Number(isLive) - Number(wasLive)
      if (wasLive && !isLive) totals.final += 1
      if (from !== null && !wasLive && isLive) totals.final -= 1
    },
    countRun(from, to) {
      if (from !== null) totals.runs[from] -= 1
      if (to !== null) totals.runs[to] += 1
    },
    save() {
      written = JSON.stringify(totals)
      if (written !== committed) write.run(written)
    },
    keep() {
      committed = written
      committedLive = live
    },
    revert() {
      written = committed
      totals = parseTotals(committed)
      live = committedLive
    },
  }
}

// From the rows themselves and not from the totals, so that the two can be held against each other.
function countLive(database: DatabaseSync): number {
  const waiting = database.prepare('SELECT count(*) AS n FROM job WHERE run_at IS NOT NULL').get()
  const running = database.prepare('SELECT count(*) AS n FROM job WHERE owner IS NOT NULL').get()
  return Number(waiting?.['n']) + Number(running?.['n'])
}

function emptyTotals(): Totals {
  const zeros = <State extends string>(states: readonly State[]) =>
    Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>
  return { accepted: 0, final: 0, runs: zeros(runStates), jobs: zeros(jobStates) }
}

function parseTotals(text: string): Totals {
  // Only this file writes the row.
  return JSON.parse(text) as Totals
}
