/**
 * The ticks of a pattern in a time zone: croner's, with rules of its own for the hours that clocks skip and repeat.
 *
 * A pattern that names every hour, or repeats within an hour (`*` or a step in its minutes or seconds), follows real time
 * in a repeated hour; every other one names times of the day, and a time that comes twice ticks the first time only. A
 * time that is skipped ticks at the moment of the change, unless the pattern names every hour.
 */
import { Cron } from 'croner'

export interface Timetable {
  /** The first tick after the instant; null where none follows. */
  next(after: number): number | null
  /** The last `limit` ticks between two instants, in order; a tick at `after` is excluded, one at `until` included. */
  last(after: number, until: number, limit: number): readonly number[]
  /** What a change of clocks does to the tick; null where it does nothing. */
  changeAt(tick: number): ClockChange | null
}

/** `skipped`: its local time does not exist that day. `repeated`: it comes a second time, which is no tick. */
export type ClockChange = 'skipped' | 'repeated'

const secondMs = 1_000
const dayMs = 86_400_000
/** No clock has been set back by more in living memory. */
const maxRepeatMs = 3 * 3_600_000

/** @throws TypeError that says what is wrong with the pattern; RangeError for an unknown time zone */
export function createTimetable(pattern: string, timeZone: string): Timetable {
  const fields = pattern.trim().split(/\s+/)
  if (fields.length < 5 || fields.length > 6) {
    throw new TypeError(`it has ${fields.length} fields; a pattern has five, or six with seconds`)
  }
  const aheadMs = createAhead(timeZone)
  const given = cronOf(fields.join(' '), timeZone)
  const [seconds = '0', minutes = '*', hours = '*', ...days] = fields.length === 6 ? fields : ['0', ...fields]
  const hourList = listOf(hours, 24)
  const isHourly = hourList.length === 24
  const repeats = /[*?/]/.test(`${seconds}${minutes}`)

  // The same times named one by one: croner takes them for times of the day, which tick once in a repeated hour.
  const named = (): Cron => cronOf([listOf(seconds, 60), listOf(minutes, 60), hourList, ...days].join(' '), timeZone)
  const cron = isHourly || repeats ? given : named()
  const onPaper = cronOf(fields.join(' '), 'UTC')

  function next(after: number): number | null {
    const tick = cron.nextRun(new Date(after))?.getTime() ?? null
    return tick === null || isHourly ? tick : (skippedBetween(after, tick) ?? tick)
  }

  /** The first change of the clocks, after the one instant and before the other, that skips times of the pattern. */
  function skippedBetween(after: number, until: number): number | null {
    for (let from = after; from < until; from += dayMs) {
      const to = Math.min(from + dayMs, until)
      const [beforeMs, afterMs] = [aheadMs(from), aheadMs(to)]
      if (afterMs <= beforeMs) continue
      const change = changeBetween(from, to)
      const skipped = onPaper.nextRun(new Date(change + beforeMs - 1))?.getTime() ?? Infinity
      if (skipped < change + afterMs) return change
    }
    return null
  }

  function changeBetween(from: number, to: number): number {
    let [early, late] = [Math.floor(from / secondMs), Math.ceil(to / secondMs)]
    while (late - early > 1) {
      const middle = Math.floor((early + late) / 2)
      if (aheadMs(middle * secondMs) === aheadMs(from)) early = middle
      else late = middle
    }
    return late * secondMs
  }

  function ticksIn(after: number, until: number): number[] {
    const ticks: number[] = []
    for (let tick = next(after); tick !== null && tick <= until; tick = next(tick)) ticks.push(tick)
    return ticks
  }

  /** Whether there are at least `count` ticks after `after` and up to `until`. */
  function hasMany(after: number, until: number, count: number): boolean {
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
      if (!hasMany(after, until, limit + 1)) return ticksIn(after, until)
      const isBefore = (from: number): boolean => !hasMany(from, until, limit + 1)
      let spanMs = secondMs
      while (isBefore(until - spanMs)) spanMs *= 2
      // Between these two is the latest instant after which there are enough of them.
      let [early, late] = [Math.max(after, until - spanMs), until - spanMs / 2]
      while (late - early > secondMs) {
        const middle = Math.floor((early + late) / 2)
        if (isBefore(middle)) late = middle
        else early = middle
      }
      return ticksIn(early, until).slice(-limit)
    },
    changeAt(tick) {
      if (!given.match(new Date(tick))) return 'skipped'
      const backMs = aheadMs(tick) - aheadMs(tick + maxRepeatMs)
      const again = tick + backMs
      if (backMs <= 0 || aheadMs(again) !== aheadMs(tick) - backMs) return null
      return next(again - secondMs) === again ? null : 'repeated'
    },
  }
}

/** @throws RangeError for an unknown zone, and for an offset, which is none */
export function checkTimeZone(timeZone: string): void {
  if (/^[+-]/.test(timeZone)) throw new RangeError(`Invalid time zone specified: ${timeZone}`)
  createAhead(timeZone)
}

/** By how much clocks in the zone are ahead of UTC at an instant, in milliseconds. */
function createAhead(timeZone: string): (at: number) => number {
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

/** @throws TypeError */
function cronOf(pattern: string, timezone: string): Cron {
  return new Cron(pattern, { timezone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' })
}

/** The values of one field that croner has accepted: `*`, numbers and ranges, with a step or without. */
function listOf(field: string, count: number): number[] {
  const values = field.split(',').flatMap((part) => {
    const [range = '', step = '1'] = part.split('/')
    const [low = 0, high = low] = /[*?]/.test(range) ? [0, count - 1] : range.split('-').map(Number)
    return Array.from({ length: Math.floor((high - low) / Number(step)) + 1 }, (_, index) => low + index * Number(step))
  })
  return [...new Set(values)]
}
