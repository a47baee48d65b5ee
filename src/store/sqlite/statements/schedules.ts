/** Schedules: read at each call, and written only by a writer that knows the latest revision. */
import type { DatabaseSync } from 'node:sqlite'
import { maxSchedules, type Schedule } from '../../../domain/schedule.ts'
import { scheduleOf, scheduleRow } from '../../rows.ts'
import type { ScheduleChange, ScheduleResult } from '../../store.ts'

const columns = 'name, revision, next_at, schedule'

export function createSchedules(database: DatabaseSync) {
  const insert = database.prepare(`INSERT INTO schedule (${columns}) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`)
  const update = database.prepare(
    'UPDATE schedule SET revision = ?, next_at = ?, schedule = ? WHERE name = ? AND revision = ?',
  )
  const remove = database.prepare('DELETE FROM schedule WHERE name = ? AND revision = ?')
  const count = database.prepare('SELECT count(*) AS total FROM schedule')
  const selectOne = database.prepare(`SELECT ${columns} FROM schedule WHERE name = ?`)
  const selectAll = database.prepare(`SELECT ${columns} FROM schedule ORDER BY name`)
  const selectDue = database.prepare(`SELECT ${columns} FROM schedule WHERE next_at <= ? ORDER BY next_at`)
  const selectNext = database.prepare('SELECT min(next_at) AS next_at FROM schedule WHERE next_at > ?')

  function find(name: string): Schedule | null {
    const row = selectOne.get(name)
    return row === undefined ? null : scheduleOf(row)
  }

  /** @returns number of changed rows: 0 if the revision is not the latest */
  function write(name: string, from: string | null, to: Schedule | null): number | bigint {
    if (to === null) return from === null ? 0 : remove.run(name, from).changes
    const { revision, nextAt, rest } = scheduleRow(to)
    if (from === null) return insert.run(name, revision, nextAt, rest).changes
    return update.run(revision, nextAt, rest, name, from).changes
  }

  return {
    find,
    change({ name, from, to }: Omit<ScheduleChange, 'run'>): ScheduleResult {
      const isNew = from === null && to !== null && find(name) === null
      if (isNew && !to.isDeclared && Number(count.get()?.['total']) >= maxSchedules) return 'full'
      return Number(write(name, from, to)) > 0 ? 'changed' : 'outdated'
    },
    all: () => selectAll.all().map(scheduleOf),
    dueAt: (at: number) => selectDue.all(at).map(scheduleOf),
    /** @returns the first tick after the instant; null without one */
    nextAfter(at: number): number | null {
      const next = selectNext.get(at)?.['next_at']
      return typeof next === 'number' ? next : null
    },
  }
}
