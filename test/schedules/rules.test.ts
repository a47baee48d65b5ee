/** What a schedule makes of ticks that are due, and what a put, a pause and a resume make of a schedule. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { MissedPolicy, Schedule } from '../../src/domain/schedule.ts'
import { dueOf, pause, put, resume } from '../../src/schedules/rules.ts'
import { createTimetable } from '../../src/schedules/timetable.ts'

const dayMs = 86_400_000
const day = (number: number): number => Date.UTC(2026, 0, number, 3)
const daily = createTimetable('0 3 * * *', 'UTC')
const times = { cron: '0 3 * * *', timeZone: 'UTC' }
const definition = {
  ...times,
  name: 'nightly',
  request: '{}',
  missed: 'one',
  isDeclared: false,
  isPaused: false,
} as const

function scheduleOf(missed: MissedPolicy, nextAt: number | null): Schedule {
  const made = put(null, { ...definition, missed }, daily, day(1))
  return { ...made, nextAt }
}

test('a tick since when the process is there makes its run, however late it is, and each of several does', () => {
  for (const missed of ['one', 'skip', 'all'] as const) {
    assert.equal(dueOf(scheduleOf(missed, day(5)), daily, day(5)), { tick: day(5), following: day(6) })
    assert.equal(dueOf(scheduleOf(missed, day(5)), daily, day(5) - 1), { tick: day(5), following: day(6) })
  }
  assert.is(dueOf(scheduleOf('one', null), daily, day(5)), null)
})

test('of ticks before, the last makes a run, or none, or the last hundred do', () => {
  const missedBefore = day(9) + dayMs / 2
  assert.equal(dueOf(scheduleOf('one', day(5)), daily, missedBefore), { tick: day(9), following: day(10) })
  assert.equal(dueOf(scheduleOf('skip', day(5)), daily, missedBefore), { tick: null, following: day(10) })
  assert.equal(dueOf(scheduleOf('all', day(5)), daily, missedBefore), { tick: day(5), following: day(6) })
  // A tick at that very moment is not missed.
  assert.equal(dueOf(scheduleOf('skip', day(5)), daily, day(9)), { tick: null, following: day(9) })
  assert.equal(dueOf(scheduleOf('one', day(5)), daily, day(9)), { tick: day(8), following: day(9) })

  let schedule = scheduleOf('all', day(1))
  const ticks: number[] = []
  const until = day(400)
  for (;;) {
    const due = dueOf(schedule, daily, until)
    if (due?.tick == null || due.tick >= until) break
    ticks.push(due.tick)
    schedule = { ...schedule, nextAt: due.following }
  }
  assert.is(ticks.length, 100)
  assert.equal([ticks[0], ticks.at(-1)], [day(300), day(399)])
})

test('a put keeps a due tick if the times stay the same, and the record of past ticks', () => {
  const before = { ...scheduleOf('one', day(5)), lastAt: day(4), lastRunId: 'run' }
  const same = put(before, { ...definition, request: '{"x":1}' }, daily, day(9))
  assert.equal([same.nextAt, same.lastAt, same.lastRunId, same.request], [day(5), day(4), 'run', '{"x":1}'])
  assert.is.not(same.revision, before.revision)
  const hourly = { ...definition, cron: '0 * * * *' }
  const other = put(before, hourly, createTimetable(hourly.cron, 'UTC'), day(9))
  assert.equal([other.nextAt, other.lastAt], [day(9) + 3_600_000, day(4)])
})

test('a pause drops a due tick, and a resume continues with the next one', () => {
  const before = scheduleOf('all', day(5))
  const paused = pause(before)
  assert.equal([paused.isPaused, paused.nextAt], [true, null])
  assert.is(pause(paused), paused)
  const resumed = resume(paused, daily, day(9) + 1)
  assert.equal([resumed.isPaused, resumed.nextAt], [false, day(10)])
  assert.is(resume(resumed, daily, day(20)), resumed)
  assert.is(put(paused, definition, daily, day(9) + 1).nextAt, day(10))
  assert.is(put(before, { ...definition, isPaused: true }, daily, day(9)).nextAt, null)
})

test.run()
