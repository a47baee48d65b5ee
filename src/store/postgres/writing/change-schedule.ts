/** A schedule is written by its tick's own transaction, in which its run is accepted. */
import { acceptRun } from '../../../domain/run/new-run.ts'
import type { ScheduleChange } from '../../store.ts'
import { readSchedule, writeSchedule } from '../statements/schedules.ts'
import type { Operation } from './operations.ts'

export type ScheduleResult = 'changed' | 'outdated'

/** Alone in its transaction: those of two processes that change the same schedules then lock one row each. */
export function changeSchedule({ run, ...change }: ScheduleChange, at: number): Operation {
  const { name, to } = change
  let isChanged = false
  /** As the schedule is, where it was not changed. */
  let revision: string | null = null
  return {
    verb: 'changeSchedule',
    runIds: [],
    ...(run && { accepts: { run, at } }),
    look: () => async (query) => {
      isChanged = await writeSchedule(query, change)
      revision = isChanged ? null : ((await readSchedule(query, name))?.revision ?? null)
      return []
    },
    apply(unit, { process, isRepeat }): ScheduleResult {
      // Sent before, it may have taken place: nobody else has this revision.
      if (!isChanged) return isRepeat && revision === (to?.revision ?? null) ? 'changed' : 'outdated'
      if (run !== null) unit.add(acceptRun(run, at, process))
      return 'changed'
    },
  }
}
