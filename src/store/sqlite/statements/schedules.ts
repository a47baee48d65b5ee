/** Schedules: read as they are asked for, and written only by a writer that knows the latest revision. */
import type { DatabaseSync } from 'node:sqlite'
import { maxSchedules, type Schedule } from '../../../domain/schedule.ts'
import { scheduleOf, scheduleRow } from '../../rows.ts'
import type { ScheduleChange, ScheduleResult } from '../../store.ts'

export interface Schedules {
  change(change: Omit<ScheduleChange, 'run'>): ScheduleResult
  find(name: string): Schedule | null
  all(): Schedule[]
  dueAt(at: number): Schedule[]
  /** The first tick after the instant. */
  nextAfter(at: number): number | null
}

export function createSchedules(database: DatabaseSync): Schedules {
  const columns = 'name, revision, next_at, schedule'
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

  function write(name: string, from: string | null, to: Schedule | null): number | bigint {
    if (to === null) return from === null ? 0 : remove.run(name, from).changes
    const { revision, nextAt, rest } = scheduleRow(to)
    const result =
      from === null ? insert.run(name, revision, nextAt, rest) : update.run(revision, nextAt, rest, name, from)
    return result.changes
  }

  const find = (name: string): Schedule | null => {
    const row = selectOne.get(name)
    return row === undefined ? null : scheduleOf(row)
  }

  return {
    change({ name, from, to }) {
      const isNew = from === null && to !== null && find(name) === null
      if (isNew && !to.isDeclared && Number(count.get()?.['total']) >= maxSchedules) return 'full'
      return Number(write(name, from, to)) > 0 ? 'changed' : 'outdated'
    },
    find,
    all: () => selectAll.all().map(scheduleOf),
    dueAt: (at) => selectDue.all(at).map(scheduleOf),
    nextAfter(at) {
      const next = selectNext.get(at)?.['next_at']
      return typeof next === 'number' ? next : null
    },
  }
}
