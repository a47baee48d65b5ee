/** The timeline as a table: for screen readers always unless it is large, for others on request. */
import type { ReadonlySignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { StateMark } from '../shell/state.tsx'
import { durationOf } from '../time/format.ts'
import type { LiveJob } from './run-store.ts'
import { lostStartText, segmentsOf } from './segments.ts'
import { stepsText } from './steps.tsx'

export interface JobTableProps {
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  readonly start: number
  readonly isShown: boolean
}

/** Invisible rows would slow down each change of the page. */
const mostUnseen = 200

export function JobTable({ jobs, start, isShown }: JobTableProps) {
  if (!isShown && jobs.value.length > mostUnseen) return null
  return (
    <div class={isShown ? 'card scroll' : 'unseen'} tabIndex={isShown ? 0 : undefined}>
      <table>
        <caption class="unseen">The jobs of this run, with times since it was accepted</caption>
        <thead>
          <tr>
            <th scope="col" class="num">
              Job
            </th>
            <th scope="col">Task</th>
            <th scope="col">State</th>
            <th scope="col">Thread</th>
            <th scope="col">Attempts</th>
            <th scope="col" class="num">
              Started
            </th>
            <th scope="col" class="num">
              Ended
            </th>
            <th scope="col" class="num">
              Ran
            </th>
            <th scope="col">Steps</th>
            <th scope="col">Error</th>
          </tr>
        </thead>
        <tbody>
          {jobs.value.map(({ view }) => (
            <JobRow key={view.peek().index} job={view} start={start} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function JobRow({ job, start }: { readonly job: ReadonlySignal<JobView>; readonly start: number }) {
  const { index, task, state, thread, attempt, maxAttempts, startedAt, finishedAt, steps, error } = job.value
  const since = (instant: string | null): string =>
    instant === null ? '' : durationOf(Math.max(0, Date.parse(instant) - start))
  const segments = segmentsOf(job.value, start)
  const attempts = segments.filter((segment) => segment.attempt !== null)
  const ran = attempts.reduce((sum, { from, to }) => sum + (to === null ? 0 : to - from), 0)
  return (
    <tr>
      <td class="num">{index}</td>
      <td>{task}</td>
      <td>
        <StateMark state={state} />
      </td>
      <td class="mono">{thread ?? ''}</td>
      <td>
        {attempt} of {maxAttempts}
        {lostStartText(segments)}
      </td>
      <td class="num">{since(startedAt)}</td>
      <td class="num">{since(finishedAt)}</td>
      <td class="num">{attempts.length === 0 ? '' : durationOf(ran)}</td>
      <td class="wrap">{stepsText(steps)}</td>
      <td class="wrap">{error?.message ?? ''}</td>
    </tr>
  )
}
