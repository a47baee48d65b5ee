/**
 * Waits that began in the future: the clock was set back meanwhile, or was ahead on another machine. Each is moved by as
 * much, so that no step of a clock makes a delay or a retry wait longer than it was to wait.
 */
import type { Clock } from '../../domain/clock.ts'
import type { Query } from './connection.ts'

export interface SteppedWaits {
  /** To be called about once a second. @throws DatabaseFailure */
  look(query: Query): Promise<void>
}

/** Clocks of two machines may differ by that much. */
const toleranceMs = 1_000
/** Looks without a step of the own clock: those of other machines may have stepped. */
const lookEvery = 60

// The error of a failure is JSON text too, in which the quotes of such a name would be escaped. Jobs are locked in the
// order in which every transaction locks them.
const move = {
  name: 'move-stepped-waits',
  text: `
    WITH waiting AS MATERIALIZED (
      SELECT run_id, job_index, run_at, CASE WHEN state = 'queued' THEN queued_at
        ELSE substring(failures from '.*"finishedAt":([0-9]+)')::bigint END AS began_at
      FROM job WHERE run_at > $1 AND NOT is_due
    ), ahead AS (
      SELECT * FROM waiting WHERE began_at > $1 + ${toleranceMs} AND run_at >= began_at ORDER BY run_id, job_index
    )
    UPDATE job SET run_at = $1 + (ahead.run_at - began_at), queued_at = least(queued_at, $1) FROM ahead
    WHERE job.run_id = ahead.run_id AND job.job_index = ahead.job_index AND job.run_at = ahead.run_at AND NOT is_due`,
}

export function createSteppedWaits(clock: Clock): SteppedWaits {
  const aheadOfMonotonic = (): number => clock.now() - performance.now()
  let last = aheadOfMonotonic()
  let rounds = 0

  return {
    async look(query) {
      const current = aheadOfMonotonic()
      if (current < last - toleranceMs || rounds % lookEvery === 0) await query(move, [clock.now()])
      // Where it failed, the next look tries again.
      last = current
      rounds += 1
    },
  }
}
