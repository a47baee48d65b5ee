/** What a stream of events says (https://html.spec.whatwg.org/multipage/server-sent-events.html), as bytes. */
import type { RunRecord } from '../domain/run.ts'
import { writeJson } from './views/json.ts'
import type { ProgressView, ViewOptions } from './views/job.ts'
import { viewRun } from './views/run.ts'

/** A result of more bytes of JSON text is not sent to everybody who only wants to know how far a run is. */
const maxResultBytes = 16 * 1024

/** @param prefix of the addresses in it */
export type WriteRunEvent = (run: RunRecord, prefix: string) => Buffer

/** @returns a function that makes the event of a run; once, however many streams tell of the same record */
export function createRunEvents(options: Omit<ViewOptions, 'showsResults' | 'prefix'>): WriteRunEvent {
  const byPrefix = new Map<string, WeakMap<RunRecord, Buffer>>()

  return (run, prefix) => {
    const written = byPrefix.get(prefix) ?? new WeakMap<RunRecord, Buffer>()
    byPrefix.set(prefix, written)
    const known = written.get(run)
    if (known !== undefined) return known
    const data = writeJson(viewRun(run, { ...options, prefix, maxResultBytes }))
    const event = Buffer.from(`event: run\nid: ${run.version}\ndata: ${data}\n\n`)
    written.set(run, event)
    return event
  }
}

export function progressEvent(progress: ProgressView): string {
  return `event: progress\ndata: ${JSON.stringify(progress)}\n\n`
}

/** Tells an EventSource how long it is to wait before it connects again. */
export function retryField(afterMs: number): string {
  return `retry: ${afterMs}\n\n`
}

export const comment = ':\n\n'
