/** What a stream of events says (https://html.spec.whatwg.org/multipage/server-sent-events.html), as bytes. */
import type { JobRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import { parseResult, viewRun, type JobView, type RunView, type ViewOptions } from './run-view.ts'
import type { ProgressView } from './schemas/run.ts'
import { writeJson } from './write-json.ts'

/** A result of more bytes of JSON text is not sent to everybody who only wants to know how far a run is. */
const maxResultBytes = 16 * 1024

type Result = Pick<JobView, 'result' | 'resultBytes'>

/** @returns a function that makes the event of a run; once, however many streams tell of the same record */
export function createRunEvents(options: Omit<ViewOptions, 'showsResults'>): (run: RunRecord) => Buffer {
  const written = new WeakMap<RunRecord, Buffer>()

  return (run) => {
    const known = written.get(run)
    if (known !== undefined) return known
    const data = writeJson(viewForEvent(run, options))
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

function viewForEvent(run: RunRecord, options: ViewOptions): RunView {
  const { jobs, ...view } = viewRun(run, { ...options, showsResults: false })
  const results = run.jobs.map(resultOf)
  return { ...view, ...answerOf(run, results), jobs: jobs.map((job, index) => ({ ...job, ...results[index] })) }
}

/** Text that is too long is not even parsed. */
function resultOf({ result }: JobRecord): Result {
  if (result === null) return { result: null }
  const resultBytes = Buffer.byteLength(result)
  return resultBytes > maxResultBytes ? { resultBytes } : { result: parseResult(result).value }
}

/** In `results`, where each has its place, what is left out is an object that has only `resultBytes`. */
function answerOf({ answer }: RunRecord, results: readonly Result[]): Pick<RunView, keyof Result | 'results'> {
  if (answer === null || answer.status !== 200) return {}
  if (answer.jobIndex !== null) return results[answer.jobIndex] ?? {}
  return { results: results.map((each) => (each.resultBytes === undefined ? each.result : each)) }
}
