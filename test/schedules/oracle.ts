/**
 * When a pattern ticks, found the long way: by looking at what the clocks of a zone show at every minute, or second. It
 * shares nothing with the code that it judges.
 */

export interface ClockStep {
  readonly at: number
  /** What clocks are ahead of UTC, in milliseconds. */
  readonly beforeMs: number
  readonly afterMs: number
}

const hourMs = 3_600_000

export function zoneOf(timeZone: string) {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    dateStyle: 'short',
    timeStyle: 'medium',
    hourCycle: 'h23',
    calendar: 'iso8601',
  })
  const aheadMs = (at: number): number => {
    const { year, month, day, hour, minute, second } = Object.fromEntries(
      parts.formatToParts(at).map(({ type, value }) => [type, Number(value)]),
    )
    const full = Number(year) < 100 ? 2000 + Number(year) : Number(year)
    return Date.UTC(full, Number(month) - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
  }

  /** Every change of the zone's clocks between two instants. */
  function steps(from: number, to: number): ClockStep[] {
    const found: ClockStep[] = []
    for (let at = from; at < to; at += 24 * hourMs) {
      const [beforeMs, afterMs] = [aheadMs(at), aheadMs(at + 24 * hourMs)]
      if (beforeMs === afterMs) continue
      let low = at
      let high = at + 24 * hourMs
      while (high - low > 1000) {
        const middle = low + Math.floor((high - low) / 2000) * 1000
        if (aheadMs(middle) === beforeMs) low = middle
        else high = middle
      }
      found.push({ at: high, beforeMs, afterMs })
    }
    return found
  }

  return { aheadMs, steps }
}

function valuesOf(field: string, min: number, max: number): ReadonlySet<number> {
  const values = new Set<number>()
  for (const part of field.split(',')) {
    const [range = '', step = '1'] = part.split('/')
    const [low, high = low] = range === '*' ? [min, max] : range.split('-').map(Number)
    for (let value = Number(low); value <= Number(high); value += Number(step)) values.add(value)
  }
  return values
}

/** Whether a clock that shows this, as if it were UTC, is at a time of the pattern. */
function matcherOf(fields: readonly string[]): (shown: number) => boolean {
  const [second = '', minute = '', hour = '', day = '', month = '', weekday = ''] = fields
  const [seconds, minutes, hours] = [valuesOf(second, 0, 59), valuesOf(minute, 0, 59), valuesOf(hour, 0, 23)]
  const [days, months, weekdays] = [valuesOf(day, 1, 31), valuesOf(month, 1, 12), valuesOf(weekday, 0, 6)]
  return (shown) => {
    const date = new Date(shown)
    if (!minutes.has(date.getUTCMinutes()) || !hours.has(date.getUTCHours())) return false
    if (!seconds.has(date.getUTCSeconds()) || !months.has(date.getUTCMonth() + 1)) return false
    const [isDay, isWeekday] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())]
    return day === '*' || weekday === '*' ? isDay && isWeekday : isDay || isWeekday
  }
}

/** Every tick in a window around one change of the clocks. */
export function ticksAround(pattern: string, step: ClockStep, aroundMs: number): number[] {
  const given = pattern.split(' ')
  const fields = given.length === 6 ? given : ['0', ...given]
  const matches = matcherOf(fields)
  const isHourly = valuesOf(fields[2] ?? '', 0, 23).size === 24
  const followsRealTime = isHourly || /[*/]/.test(`${fields[0]}${fields[1]}`)
  const unitMs = given.length === 6 ? 1000 : 60_000
  const { at: change, beforeMs, afterMs } = step
  const ticks = new Set<number>()
  for (let at = change - aroundMs; at < change + aroundMs; at += unitMs) {
    const shown = at + (at < change ? beforeMs : afterMs)
    const isSecondTime = at >= change && shown < change + beforeMs
    if (matches(shown) && (followsRealTime || !isSecondTime)) ticks.add(at)
  }
  for (let shown = change + beforeMs; shown < change + afterMs && !isHourly; shown += unitMs) {
    if (matches(shown)) ticks.add(change)
  }
  return [...ticks].toSorted((one, other) => one - other)
}
