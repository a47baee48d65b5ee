/** Formats durations and instants for people: at most three digits, with a suitable unit. */

const secondMs = 1_000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** `0 ms`, `14 ms`, `1.01 s`, `42.3 s`, `3 min 05 s`, `2 h 04 min`, `3 d 4 h` */
export function durationOf(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < secondMs) return `${whole} ms`
  if (whole < 10 * secondMs) return `${(whole / secondMs).toFixed(2)} s`
  if (whole < minuteMs) return `${(Math.floor(whole / 100) / 10).toFixed(1)} s`
  if (whole < hourMs) return `${Math.floor(whole / minuteMs)} min ${two(Math.floor((whole % minuteMs) / secondMs))} s`
  if (whole < dayMs) return `${Math.floor(whole / hourMs)} h ${two(Math.floor((whole % hourMs) / minuteMs))} min`
  return `${Math.floor(whole / dayMs)} d ${Math.floor((whole % dayMs) / hourMs)} h`
}

/** `0.42 ms`, `2.1 ms`; from 10 ms on like `durationOf`. */
export function millisecondsOf(ms: number): string {
  return ms < 10 ? `${Number(ms.toPrecision(2))} ms` : durationOf(ms)
}

/** `0`, `0.3`, `4.2`, `1,204` */
export function rateOf(rate: number): string {
  return rate < 10 ? String(Number(rate.toPrecision(2))) : Math.round(rate).toLocaleString('en')
}

/** To the millisecond: `12 ms`, `1.234 s`, `1 min 05.123 s`, `2 h 04 min 05.123 s` */
export function exactOf(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < secondMs) return `${whole} ms`
  const seconds = ((whole % minuteMs) / secondMs).toFixed(3)
  if (whole < minuteMs) return `${seconds} s`
  const minutes = Math.floor(whole / minuteMs)
  if (whole < hourMs) return `${minutes} min ${seconds.padStart(6, '0')} s`
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min ${seconds.padStart(6, '0')} s`
}

/** Coarse, for ages: `now`, `8 s`, `3 min`, `18 h`, `2 d` */
export function ageOf(ms: number): string {
  if (ms < secondMs) return 'now'
  if (ms < minuteMs) return `${Math.floor(ms / secondMs)} s`
  if (ms < hourMs) return `${Math.floor(ms / minuteMs)} min`
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} h`
  return `${Math.floor(ms / dayMs)} d`
}

/** `just now`, `8 s ago`, `3 min ago` */
export function agoOf(ms: number): string {
  return ms < secondMs ? 'just now' : `${ageOf(ms)} ago`
}

/** For settings: `1 min`, `90 s`, `30 s`, `2 h` */
export function settingOf(ms: number): string {
  if (ms % hourMs === 0) return `${ms / hourMs} h`
  if (ms % minuteMs === 0) return `${ms / minuteMs} min`
  return ms % secondMs === 0 ? `${ms / secondMs} s` : `${ms.toLocaleString('en')} ms`
}

/** `18:08:58` for today; other days with their date. */
export function clockOf(instant: string): string {
  const at = new Date(instant)
  const time = at.toLocaleTimeString(undefined, { hour12: false })
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`
}

/** `99.8 %`, `84 %`: with a decimal only if rounding would give 0 or 100. */
export function shareOf(part: number, whole: number): string {
  const percent = whole <= 0 ? 0 : (100 * part) / whole
  const isNearEnd = (percent > 99 && percent < 100) || (percent > 0 && percent < 1)
  return `${isNearEnd ? Math.min(99.9, Math.max(0.1, percent)).toFixed(1) : Math.round(percent)} %`
}

export function countOf(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** For an axis: `0`, `250 ms`, `2 s`, `1 min`, `1:30 min` */
export function axisTextOf(ms: number): string {
  if (ms === 0) return '0'
  if (ms < secondMs) return `${Math.round(ms)} ms`
  if (ms < minuteMs) return `${Number((ms / secondMs).toFixed(1))} s`
  if (ms < hourMs) {
    const seconds = Math.round((ms % minuteMs) / secondMs)
    return seconds === 0 ? `${ms / minuteMs} min` : `${Math.floor(ms / minuteMs)}:${two(seconds)} min`
  }
  return `${Number((ms / hourMs).toFixed(1))} h`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
