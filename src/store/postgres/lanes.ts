/**
 * The two connections through which a process writes: what comes in need not wait for what ends. Both lock rows in one
 * order, see lock.ts, so that no two wait for each other. A change of a run may be told behind a later one that the other
 * lane has committed.
 */
import { createAdmissions } from './admissions.ts'
import { commitCompletions, isCompletions } from './completions.ts'
import { commitGroup } from './group.ts'
import { createLane, type Lane, type LaneOptions } from './lane.ts'
import { nextAdmissions, nextSettlings } from './next-group.ts'
import type { Admission, Operation, Settling } from './operations.ts'
import { rowOf } from './transaction.ts'
import type { Waiting } from './waiting.ts'

export interface Lanes {
  /** Runs that are accepted, and jobs that are claimed. */
  readonly intake: Lane<Admission>
  /** What becomes of jobs. */
  readonly settling: Lane<Settling>
}

export const laneNames = { intake: 'intake', settling: 'settling' }

/** Of the totals of a process. */
export function rowsOf(owner: string): string[] {
  return Object.values(laneNames).map((lane) => rowOf({ owner, lane }))
}

export function createLanes(
  options: Omit<LaneOptions<Operation>, 'lane' | 'next' | 'commit' | 'isUrgent'>,
  waiting: Waiting,
): Lanes {
  return {
    intake: createLane<Admission>({
      ...options,
      lane: laneNames.intake,
      next: nextAdmissions,
      commit: createAdmissions(waiting),
      // The next one can give slots to runs that wait to be accepted.
      isUrgent: ({ verb }) => verb === 'claim',
    }),
    settling: createLane<Settling>({
      ...options,
      lane: laneNames.settling,
      next: nextSettlings,
      isUrgent: () => false,
      commit: (connection, sender, operations) => {
        if (isCompletions(operations)) return commitCompletions(connection, sender, operations)
        return commitGroup(connection, sender, operations)
      },
    }),
  }
}
