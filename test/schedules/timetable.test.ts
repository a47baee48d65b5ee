/** Ticks in three zones, around each change of their clocks over years, against what the clocks show minute by minute. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createTimetable } from '../../src/schedules/timetable.ts'
import { createRandom } from '../harness/random.ts'
import { ticksAround, zoneOf, type ClockStep } from './oracle.ts'

const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe']
const hourMs = 3_600_000
const [from, to] = [Date.UTC(2026, 0), Date.UTC(2029, 0)]
const stepsOf = new Map(zones.map((zone) => [zone, zoneOf(zone).steps(from, to)]))

const patterns = [
  '30 2 * * *',
  '0 2 * * *',
  '0 3 * * *',
  '15 2 * * 0',
  '45 1 * * *',
  '30 1 * * *',
  '59 1 * * *',
  '29 2 * * *',
  '* * * * *',
  '*/15 * * * *',
  '0 * * * *',
  '5 * * * *',
  '*/7 * * * *',
  '7-59/10 0-23 * * *',
  '*/15 2 * * *',
  '*/20 1-3 * * *',
  '0 */2 * * *',
  '30 1,2,3 * * *',
  '0-30/10 1-3 * * *',
  '10,40 2 * * *',
  '0 2 29 3 *',
  '30 2 8-14 3 0',
  '0 0 * * *',
  '30 1 1-7 11,4 0',
]

function found(pattern: string, zone: string, { at }: ClockStep, aroundMs: number): number[] {
  const timetable = createTimetable(pattern, zone)
  const ticks: number[] = []
  for (
    let tick = timetable.next(at - aroundMs - 1);
    tick !== null && tick < at + aroundMs;
    tick = timetable.next(tick)
  ) {
    assert.ok(tick > (ticks.at(-1) ?? 0), `${pattern} in ${zone} goes on`)
    ticks.push(tick)
  }
  return ticks
}

const shown = (ticks: readonly number[]): string[] => ticks.map((tick) => new Date(tick).toISOString())

test('a time that is skipped ticks once at the change, one that comes twice the first time; others as they come', () => {
  for (const [zone, steps] of stepsOf) {
    assert.is(steps.length, 6, zone)
    for (const step of steps) {
      for (const pattern of patterns) {
        const aroundMs = /^[*\d/-]*\*/.test(pattern) ? 3 * hourMs : 30 * hourMs
        const message = `${pattern} in ${zone} around ${new Date(step.at).toISOString()}`
        const ticks = found(pattern, zone, step, aroundMs)
        assert.equal(shown(ticks), shown(ticksAround(pattern, step, aroundMs)), message)
      }
    }
  }
})

test('the same holds for changes at midnight, by two hours, or twice in a month', () => {
  const others = ['America/Nuuk', 'Antarctica/Troll', 'Africa/Casablanca', 'Asia/Beirut', 'Pacific/Chatham']
  const atNight = [
    '0 0 * * *',
    '30 0 * * *',
    '59 23 * * *',
    '30 1 * * *',
    '15,45 0,1,2,23 * * *',
    '0 */3 * * *',
    '0 0 1 * *',
  ]
  for (const zone of others) {
    for (const step of zoneOf(zone).steps(Date.UTC(2026, 0), Date.UTC(2028, 0))) {
      for (const pattern of atNight) {
        const message = `${pattern} in ${zone} around ${new Date(step.at).toISOString()}`
        const ticks = found(pattern, zone, step, 26 * hourMs)
        assert.equal(shown(ticks), shown(ticksAround(pattern, step, 26 * hourMs)), message)
      }
    }
  }
})

test('random patterns, with seconds too, tick as the clocks show', () => {
  const random = createRandom(17)
  const pick = <Value>(values: readonly Value[]): Value => values[random.whole(0, values.length - 1)] as Value
  const number = (max: number): string => String(random.whole(0, max - 1))
  for (let round = 0; round < 120; round += 1) {
    const minute = pick(['*', '*/20', number(60), `${number(30)}-${30 + Number(number(30))}`, '0,30'])
    const hour = pick(['*', '*/2', '1-3', '1-23/2', number(4), `${number(3)},3`])
    const zone = pick(zones)
    const step = pick(stepsOf.get(zone) ?? [])
    const hasSeconds = random.chance(0.2)
    const pattern = `${hasSeconds ? `${pick(['0', '*/30', '15'])} ` : ''}${minute} ${hour} * * ${pick(['*', '0', '0,6'])}`
    const aroundMs = (hasSeconds ? 2 : 4) * hourMs
    const message = `${pattern} in ${zone} around ${new Date(step.at).toISOString()}`
    assert.equal(shown(found(pattern, zone, step, aroundMs)), shown(ticksAround(pattern, step, aroundMs)), message)
  }
})

test('reports the effect of a clock change on a tick', () => {
  const berlin = createTimetable('30 2 * * *', 'Europe/Berlin')
  const changes: unknown[] = []
  for (let tick = berlin.next(from) ?? to; tick < to; tick = berlin.next(tick) ?? to) {
    const change = berlin.changeAt(tick)
    if (change !== null) changes.push([new Date(tick).toISOString(), change])
  }
  assert.equal(changes.slice(0, 3), [
    ['2026-03-29T01:00:00.000Z', 'skipped'],
    ['2026-10-25T00:30:00.000Z', 'repeated'],
    ['2027-03-28T01:00:00.000Z', 'skipped'],
  ])
  assert.is(changes.length, 6)
  const hourly = createTimetable('30 * * * *', 'Europe/Berlin')
  assert.is(hourly.changeAt(Date.parse('2026-10-25T00:30:00Z')), null, 'it ticks again')
})

test('a day has one tick of a daily pattern, for years', () => {
  for (const zone of zones) {
    const timetable = createTimetable('30 2 * * *', zone)
    let ticks = 0
    for (let tick = timetable.next(from - 1) ?? to; tick < to; tick = timetable.next(tick) ?? to) ticks += 1
    assert.is(ticks, (to - from) / (24 * hourMs), zone)
  }
})

test('finds the last ticks before an instant, in a long time and among many', () => {
  const until = Date.UTC(2026, 5, 1)
  const every = createTimetable('* * * * * *', 'Europe/Berlin')
  const last = every.last(Date.UTC(2020, 0), until, 100)
  assert.equal([last.length, last[0], last.at(-1)], [100, until - 99_000, until])
  const january = createTimetable('* * * 1 *', 'UTC').last(Date.UTC(2020, 0), until, 3)
  assert.equal(shown(january), ['2026-01-31T23:57:00.000Z', '2026-01-31T23:58:00.000Z', '2026-01-31T23:59:00.000Z'])
  const daily = createTimetable('0 3 * * *', 'UTC')
  const threeDays = [0, 1, 2].map((day) => Date.UTC(2026, 4, 29 + day, 3))
  assert.equal(daily.last((threeDays[0] ?? 0) - 1, until, 100), threeDays)
  assert.equal(daily.last(threeDays[0] ?? 0, until, 100), threeDays.slice(1))
  assert.equal(daily.last(threeDays[2] ?? 0, until, 1), [])
})

test('an invalid pattern is refused with a reason; a pattern that never matches has no tick', () => {
  const wrong = ['', '@daily', '* * * *', '* * * * * * *', '60 * * * *', '* 24 * * *', '*/0 * * * *', 'x * * * *']
  for (const pattern of [...wrong, '2026-01-01T00:00:00', '5/10 * * * *', '* * 0 * *', '* * * 13 *']) {
    assert.throws(
      () => createTimetable(pattern, 'UTC'),
      (error: Error) => error.message.length > 0,
      pattern,
    )
  }
  assert.throws(() => createTimetable('* * * * *', 'Europe/Nowhere'))
  assert.is(createTimetable('0 0 30 2 *', 'UTC').next(from), null)
  assert.is(createTimetable('0 0 29 2 *', 'UTC').next(from), Date.UTC(2028, 1, 29))
  assert.is(createTimetable('0 9 * * MON-FRI', 'UTC').next(Date.UTC(2026, 7, 1)), Date.UTC(2026, 7, 3, 9))
})

test.run()
