/**
 * The ticks of a cron pattern in a time zone: those of croner, except when the clocks change.
 *
 * Clocks set back repeat an hour. A pattern for every hour, or with `*` or a step in its minutes or seconds, ticks in both.
 * Any other pattern names times of the day, and each of them ticks in the first hour only.
 * Clocks set forward skip an hour. A pattern for every hour has no tick for it. Any other pattern ticks once, at the moment
 * of the change, if it names a time in that hour.
 */
import { Cron } from 'croner'

export interface Timetable {
  /** The first tick after the instant; null: there is none. */
  next(after: number): number | null
  /** The last `limit` ticks after one instant and up to another one, which is included, in ascending order. */
  last(after: number, until: number, limit: number): readonly number[]
  /** How a change of the clocks affects the tick; null: it does not. */
  changeAt(tick: number): ClockChange | null
}

/** `skipped`: the tick's local time does not exist on that day. `repeated`: it occurs a second time, without a tick. */
export type ClockChange = 'skipped' | 'repeated'

const secondMs = 1_000
const dayMs = 86_400_000
/** No time zone has set its clocks back by more in recent history. */
const maxRepeatMs = 3 * 3_600_000

/** @throws TypeError for an invalid pattern; RangeError for an unknown time zone */
export function createTimetable(pattern: string, timeZone: string): Timetable {
  const fields = pattern.trim().split(/\s+/)
  if (fields.length < 5 || fields.length > 6) {
    throw new TypeError(`it has ${fields.length} fields; a pattern has five, or six with seconds`)
  }
  const offsetAt = createOffset(timeZone)
  const given = cronOf(fields.join(' '), timeZone)
  const [seconds = '0', minutes = '*', hours = '*', ...days] = fields.length === 6 ? fields : ['0', ...fields]
  const hourList = listOf(hours, 24)
  const isHourly = hourList.length === 24
  const repeats = /[*?/]/.test(`${seconds}${minutes}`)

  // Croner takes a pattern of plain numbers as times of the day, which tick once when an hour repeats.
  const listed = (): Cron => cronOf([listOf(seconds, 60), listOf(minutes, 60), hourList, ...days].join(' '), timeZone)
  const cron = isHourly || repeats ? given : listed()
  /** The pattern in a zone without changes: its instants are read as local times. */
  const localCron = cronOf(fields.join(' '), 'UTC')

  function next(after: number): number | null {
    const tick = cron.nextRun(new Date(after))?.getTime() ?? null
    return tick === null || isHourly ? tick : (skippedBetween(after, tick) ?? tick)
  }

  /** The first change of the clocks between the two instants that skips a time of the pattern; null: there is none. */
  function skippedBetween(after: number, until: number): number | null {
    for (let from = after; from < until; from += dayMs) {
      const to = Math.min(from + dayMs, until)
      const [offsetBefore, offsetAfter] = [offsetAt(from), offsetAt(to)]
      if (offsetAfter <= offsetBefore) continue
      const change = changeBetween(from, to)
      // The local times from `change + offsetBefore` to `change + offsetAfter` do not exist.
      const localTick = localCron.nextRun(new Date(change + offsetBefore - 1))?.getTime() ?? Infinity
      if (localTick < change + offsetAfter) return change
    }
    return null
  }

  function changeBetween(from: number, to: number): number {
    let [early, late] = [Math.floor(from / secondMs), Math.ceil(to / secondMs)]
    while (late - early > 1) {
      const middle = Math.floor((early + late) / 2)
      if (offsetAt(middle * secondMs) === offsetAt(from)) early = middle
      else late = middle
    }
    return late * secondMs
  }

  function ticksIn(after: number, until: number): number[] {
    const ticks: number[] = []
    for (let tick = next(after); tick !== null && tick <= until; tick = next(tick)) ticks.push(tick)
    return ticks
  }

  /** Whether at least `count` ticks lie after `after` and up to `until`. */
  function hasTicks(after: number, until: number, count: number): boolean {
    let tick: number | null = after
    for (let found = 0; found < count; found += 1) {
      tick = next(tick)
      if (tick === null || tick > until) return false
    }
    return true
  }

  return {
    next,
    last(after, until, limit) {
      const hasEnough = (from: number): boolean => hasTicks(from, until, limit + 1)
      if (!hasEnough(after)) return ticksIn(after, until)
      let spanMs = secondMs
      while (!hasEnough(until - spanMs)) spanMs *= 2
      // Between these two lies the latest instant after which come more ticks than wanted: few ticks are computed from there.
      let [early, late] = [Math.max(after, until - spanMs), until - spanMs / 2]
      while (late - early > secondMs) {
        const middle = Math.floor((early + late) / 2)
        if (hasEnough(middle)) early = middle
        else late = middle
      }
      return ticksIn(early, until).slice(-limit)
    },
    changeAt(tick) {
      if (!given.match(new Date(tick))) return 'skipped'
      const setBackMs = offsetAt(tick) - offsetAt(tick + maxRepeatMs)
      // When the local time of the tick comes again, if it does.
      const secondTime = tick + setBackMs
      if (setBackMs <= 0 || offsetAt(secondTime) !== offsetAt(tick) - setBackMs) return null
      return next(secondTime - secondMs) === secondTime ? null : 'repeated'
    },
  }
}

/** @throws RangeError for an unknown time zone, and for an offset such as `+02:00` */
export function checkTimeZone(timeZone: string): void {
  if (/^[+-]/.test(timeZone)) throw new RangeError(`Invalid time zone specified: ${timeZone}`)
  createOffset(timeZone)
}

/** @returns a function from an instant to the zone's offset from UTC then, in milliseconds */
function createOffset(timeZone: string): (at: number) => number {
  const numeric = 'numeric'
  const time = { hour: numeric, minute: numeric, second: numeric, hourCycle: 'h23' } as const
  const format = new Intl.DateTimeFormat('en-US', { timeZone, year: numeric, month: numeric, day: numeric, ...time })
  return (at) => {
    const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
    const part = (name: Intl.DateTimeFormatPartTypes): number => parts.get(name) ?? 0
    const [year, month, day] = [part('year'), part('month') - 1, part('day')]
    const shown = Date.UTC(year, month, day, part('hour'), part('minute'), part('second'))
    return shown - Math.floor(at / secondMs) * secondMs
  }
}

/** @throws TypeError for an invalid pattern */
function cronOf(pattern: string, timezone: string): Cron {
  return new Cron(pattern, { timezone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' })
}

/** The numbers in a field that croner has accepted: `*`, numbers and ranges, with or without a step. */
function listOf(field: string, count: number): number[] {
  const values = field.split(',').flatMap((part) => {
    const [range = '', step = '1'] = part.split('/')
    const [low = 0, high = low] = /[*?]/.test(range) ? [0, count - 1] : range.split('-').map(Number)
    return Array.from({ length: Math.floor((high - low) / Number(step)) + 1 }, (_, index) => low + index * Number(step))
  })
  return [...new Set(values)]
}
