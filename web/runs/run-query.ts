/** What the filters of the page are in the query of `GET /runs`. */
import type { RunFilters } from '../shell/route.ts'

/** The last word is still being typed: what begins with it is found as well. */
const openWord = /[\p{L}\p{N}]{3,}$/u

/** @returns the parameters that are not empty */
export function runQueryOf({ q, ...filters }: RunFilters): Record<string, string> {
  const found = { ...filters, q: openWord.test(q) ? `${q}*` : q }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ''))
}
