/** Converts the filters of the page to the query of `GET /runs`. */
import type { RunFilters } from '../shell/route.ts'
import { serviceNow } from '../shell/service.ts'

/** The last word may be incomplete, so longer words that begin with it match too. */
const openWord = /[\p{L}\p{N}]{3,}$/u
const minuteMs = 60_000

/** Durations before now. */
export const spans: Readonly<Record<string, number>> = {
  '15m': 15 * minuteMs,
  '1h': 60 * minuteMs,
  '24h': 1_440 * minuteMs,
  '7d': 10_080 * minuteMs,
}

/** @returns the parameters that are not empty */
export function runQueryOf({ q, since, until, ...filters }: RunFilters): Record<string, string> {
  const found = {
    ...filters,
    q: openWord.test(q) ? `${q}*` : q,
    createdAfter: instantOf(since),
    createdBefore: instantOf(until),
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ''))
}

/** Rounded to the minute, so that the query stays the same for a while. Empty for an invalid time. */
function instantOf(text: string): string {
  const span = Object.hasOwn(spans, text) ? spans[text] : undefined
  if (span !== undefined) return new Date(Math.floor((serviceNow() - span) / minuteMs) * minuteMs).toISOString()
  const at = Date.parse(text)
  return Number.isNaN(at) ? '' : new Date(at).toISOString()
}
