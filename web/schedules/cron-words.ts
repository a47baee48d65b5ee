/** Describes the usual cron patterns in words. Pure. */

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
const months = 'January February March April May June July August September October November December'.split(' ')
const nicknames: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** @returns `at 03:00 on Mondays`, `every 5 minutes`; null for a pattern that is better shown as it is */
export function wordsOfCron(pattern: string): string | null {
  const fields = (nicknames[pattern.trim().toLowerCase()] ?? pattern).trim().split(/\s+/)
  const [second, minute = '', hour = '', day = '', month = '', weekday = ''] =
    fields.length === 5 ? ['0', ...fields] : fields.length === 6 ? fields : ['']
  if (second === '' || second === undefined) return null
  const time = timeOf(second, minute, hour)
  const date = dateOf(day, month, weekday)
  if (time === null || date === null) return null
  return date === '' && time.startsWith('at') ? `${time} every day` : `${time}${date}`
}

function timeOf(second: string, minute: string, hour: string): string | null {
  const isEveryHour = hour === '*'
  if (isEveryHour && minute === '*') {
    if (second === '0') return 'every minute'
    return everyOf(second, 'second')
  }
  if (second !== '0') return null
  if (isEveryHour) {
    const step = everyOf(minute, 'minute')
    if (step !== null) return step
    return minute === '0' ? 'every hour' : isNumber(minute) ? `every hour at :${minute.padStart(2, '0')}` : null
  }
  if (minute === '0') {
    const step = everyOf(hour, 'hour')
    if (step !== null) return step
  }
  if (!isNumber(minute) || !hour.split(',').every(isNumber)) return null
  return `at ${listOf(hour.split(',').map((one) => `${one.padStart(2, '0')}:${minute.padStart(2, '0')}`))}`
}

/** Empty if the pattern matches every day. */
function dateOf(day: string, month: string, weekday: string): string | null {
  const inMonth = month === '*' ? '' : monthsOf(month)
  if (inMonth === null) return null
  if (day === '*' && (weekday === '*' || weekday === '?')) return inMonth === '' ? '' : ` every day of ${inMonth}`
  if (day === '*' || day === '?') {
    const on = weekdaysOf(weekday)
    return on === null ? null : ` ${on}${inMonth === '' ? '' : ` in ${inMonth}`}`
  }
  if ((weekday !== '*' && weekday !== '?') || !day.split(',').every((one) => isNumber(one) || one === 'L')) return null
  const on = listOf(day.split(',').map((one) => (one === 'L' ? 'the last day' : `day ${one}`)))
  return ` on ${on} of ${inMonth === '' ? 'each month' : inMonth}`
}

function weekdaysOf(weekday: string): string | null {
  if (/^(?:1-5|mon-fri)$/i.test(weekday)) return 'on weekdays'
  const names = weekday.split(',').map(dayOf)
  return names.every((name) => name !== null) ? `on ${listOf(names.map((name) => `${name}s`))}` : null
}

function dayOf(text: string): string | null {
  if (/^[0-7]$/.test(text)) return days[Number(text)] ?? null
  return /^[a-z]{3}$/i.test(text)
    ? (days.find((day) => day.toLowerCase().startsWith(text.toLowerCase())) ?? null)
    : null
}

function monthsOf(text: string): string | null {
  const names = text.split(',').map((one) => (isNumber(one) ? months[Number(one) - 1] : undefined))
  return names.every((name) => name !== undefined) ? listOf(names) : null
}

function everyOf(field: string, unit: string): string | null {
  const step = /^(?:\*|0)\/(?<step>\d+)$/.exec(field)?.groups?.['step']
  if (step === undefined) return null
  return step === '1' ? `every ${unit}` : `every ${step} ${unit}s`
}

function isNumber(text: string): boolean {
  return /^\d{1,2}$/.test(text)
}

function listOf(texts: readonly (string | undefined)[]): string {
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}`
}
