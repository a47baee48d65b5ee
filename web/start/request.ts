/** The request of the form, as the API takes it, and the equivalent command line. */
import type { RunInput } from 'forerunner/client'
import { writeJson } from '../../src/domain/json.ts'
import { baseUrl, curlKey } from '../shell/service.ts'

export interface TaskEntry {
  readonly name: string
  /** A RawJson if the text was kept as typed. */
  readonly input: unknown
  /** Indexes of earlier entries whose results this entry needs. */
  readonly after?: readonly number[]
}

export interface Draft {
  readonly tasks: readonly TaskEntry[]
  readonly respond: string
  readonly tags: readonly string[]
}

export function requestOf({ tasks, respond, tags }: Draft): RunInput {
  const request = {
    tasks: tasks.map(({ name, input, after = [] }) => ({
      name,
      ...(input !== undefined && { input }),
      ...(after.length > 0 && { after }),
    })),
    ...(respond !== 'first' && { respond }),
    ...(tags.length > 0 && { tags }),
  }
  // The service checks it, and names the error.
  return request as RunInput
}

const longestShown = 4_000

/** Quotes for a shell: single quotes preserve everything except themselves. */
export function curlOf(request: RunInput): string {
  const body = writeJson(request)
  const url = new URL('run-tasks', baseUrl).href
  if (body.length > longestShown)
    return `curl${curlKey()} ${url} -H 'Content-Type: application/json' --data-binary @request.json`
  return `curl${curlKey()} ${url} -H 'Content-Type: application/json' -d '${body.replaceAll("'", String.raw`'\''`)}'`
}

/** Removes one entry, and the other entries' dependencies on it. */
export function withoutEntry(entries: readonly TaskEntry[], index: number): TaskEntry[] {
  return entries.toSpliced(index, 1).map(({ after, ...entry }) => {
    const left = after?.filter((needed) => needed !== index).map((needed) => (needed > index ? needed - 1 : needed))
    return left === undefined || left.length === 0 ? entry : { ...entry, after: left }
  })
}
