/** The service that served this page: its client, the API key of this tab, and whether it is reachable. */
import { computed, signal } from '@preact/signals'
import { createClient, ProblemError } from 'forerunner/client'
import { parseKeeping, writeJson } from '../../src/domain/json.ts'

const storedKey = 'forerunner-api-key'

/** Base of all requests, wherever the service is mounted. */
export const baseUrl = new URL('.', location.href)

/** Kept only for this tab; empty if no key was entered. */
export const apiKey = signal(sessionStorage.getItem(storedKey) ?? '')
export const isReachable = signal(true)
/** Set when the service has refused the key, or a request without one. */
export const needsKey = signal(false)

/** Set when the service has refused a change because the key is read-only. */
export const isReadOnly = signal(false)

/** How far the service's clock is ahead of this one, in milliseconds. */
let clockLeadMs = 0
/** The `Date` header, from which it is computed, has whole seconds. */
const clockToleranceMs = 1_500

/** The approximate time of the service's clock, to which the instants of runs are compared. */
export function serviceNow(): number {
  return Date.now() + clockLeadMs
}

function noteClock(header: string | null): void {
  const at = header === null ? Number.NaN : Date.parse(header)
  if (Number.isNaN(at)) return
  const leadMs = at + 500 - Date.now()
  clockLeadMs = Math.abs(leadMs) < clockToleranceMs ? 0 : leadMs
}

/** Like `fetch`, but records what the response says about the service as a whole. */
export async function ask(url: URL, init: RequestInit): Promise<Response> {
  try {
    const response = await fetch(url, init)
    isReachable.value = true
    if (response.status === 401) needsKey.value = true
    if (response.status === 403) isReadOnly.value = true
    noteClock(response.headers.get('Date'))
    return response
  } catch (error) {
    if (error instanceof TypeError) isReachable.value = false
    throw error
  }
}

/** Results of jobs stay text, so they are shown exactly as they were written. */
export function parse(text: string): unknown {
  return parseKeeping(text, resultPaths)
}

const resultPaths = [['jobs', 'result'], ['result']]

export const client = computed(() =>
  createClient({
    baseUrl,
    fetch: ask,
    json: { parse, stringify: writeJson },
    ...(apiKey.value !== '' && { apiKey: apiKey.value }),
  }),
)

export function authorization(): Record<string, string> {
  return apiKey.value === '' ? {} : { Authorization: `Bearer ${apiKey.value}` }
}

/** For command lines: a placeholder if the service requires a key, never the key itself. */
export function curlKey(): string {
  return apiKey.value === '' ? '' : ' -H "Authorization: Bearer $FORERUNNER_API_KEY"'
}

export function setKey(key: string): void {
  sessionStorage.setItem(storedKey, key)
  apiKey.value = key
  needsKey.value = false
  isReadOnly.value = false
}

/** The error in words for people. */
export function wordsOf(error: unknown): string {
  if (error instanceof ProblemError) return error.problem.detail || error.problem.title
  if (error instanceof TypeError) return 'The service cannot be reached.'
  return error instanceof Error ? error.message : String(error)
}
