/** Fills the form with an earlier run: its tasks and their inputs. */
import type { JobView, RunView } from 'forerunner/client'
import { RawJson } from '../../src/domain/json.ts'
import { readBoundedText } from '../shell/bounded-read.ts'
import { client } from '../shell/service.ts'
import { againOf, againTag } from '../shell/tag.tsx'
import type { Draft, TaskEntry } from './request.ts'

/** The service accepts no more tags for a run. */
const mostTags = 16
/** Larger forms and fields are not practical. */
const mostInputs = 100
const maxInputBytes = 2 ** 18
const atOnce = 6
const timeoutMs = 30_000

/** The new run gets a tag that links both runs. @throws Error that names the input that is too large for the form */
export async function readDraft(runId: string): Promise<Draft> {
  const run = await client.peek().getRun(runId)
  if (run.jobs.length > mostInputs) throw new Error(`A form for ${run.jobs.length} jobs is of no use: use the API.`)
  const tags = run.tags.filter((tag) => againOf(tag) === null).slice(0, mostTags - 1)
  return { tasks: await entriesOf(run), respond: run.answer?.mode ?? 'first', tags: [...tags, againTag(runId)] }
}

async function entriesOf({ id, jobs }: RunView): Promise<TaskEntry[]> {
  const entries: TaskEntry[] = []
  for (let from = 0; from < jobs.length; from += atOnce) {
    entries.push(...(await Promise.all(jobs.slice(from, from + atOnce).map((job) => entryOf(id, job)))))
  }
  return entries
}

async function entryOf(runId: string, { index, task, after }: JobView): Promise<TaskEntry> {
  const path = `runs/${runId}/jobs/${index}/input`
  const text = await readBoundedText(path, maxInputBytes, AbortSignal.timeout(timeoutMs))
  if (text === null) throw new Error(`The input of job ${index} is too large for a form: download it from its run.`)
  const input = text === 'null' ? undefined : new RawJson(text)
  return { name: task, input, ...(after !== undefined && { after }) }
}
