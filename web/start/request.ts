/** The request that the form makes, as the API takes it, and as a command line that does the same. */
import type { RunInput } from 'forerunner/client'
import { baseUrl, curlKey } from '../shell/service.ts'

export interface TaskEntry {
  readonly name: string
  readonly input: unknown
}

export interface Draft {
  readonly tasks: readonly TaskEntry[]
  readonly respond: string
  readonly tags: readonly string[]
}

export function requestOf({ tasks, respond, tags }: Draft): RunInput {
  const request = {
    tasks: tasks.map(({ name, input }) => (input === undefined ? { name } : { name, input })),
    ...(respond !== 'first' && { respond }),
    ...(tags.length > 0 && { tags }),
  }
  // The service checks it, and says where it is wrong.
  return request as RunInput
}

const longestShown = 4_000

/** For a shell: single quotes keep everything but themselves. */
export function curlOf(request: RunInput): string {
  const body = JSON.stringify(request)
  const url = new URL('run-tasks', baseUrl).href
  if (body.length > longestShown)
    return `curl${curlKey()} ${url} -H 'Content-Type: application/json' --data-binary @request.json`
  return `curl${curlKey()} ${url} -H 'Content-Type: application/json' -d '${body.replaceAll("'", String.raw`'\''`)}'`
}

const keptRequests = 'forerunner-requests'
const mostKept = 20

/** Remembers what this tab has started, for the service does not show inputs. */
export function keepDraft(runId: string, draft: Draft): void {
  const kept = [[runId, draft] as const, ...readKept()].slice(0, mostKept)
  try {
    sessionStorage.setItem(keptRequests, JSON.stringify(kept))
  } catch {
    // Full: then it is not remembered.
  }
}

export function keptDraft(runId: string): Draft | null {
  return readKept().find(([id]) => id === runId)?.[1] ?? null
}

function readKept(): (readonly [string, Draft])[] {
  return JSON.parse(sessionStorage.getItem(keptRequests) ?? '[]') as (readonly [string, Draft])[]
}
