/** A summary of the list in one sentence, and the service in five figures. */
import type { RunView, StatsView } from 'forerunner/client'
import { workOf } from '../run/segments.ts'
import { countOf, durationOf } from '../time/format.ts'

export function Sentence({ runs, hasMore }: { readonly runs: readonly RunView[]; readonly hasMore: boolean }) {
  const answered = runs.filter(({ respondedAt }) => respondedAt !== null)
  const finished = runs.filter(({ state }) => state !== 'running')
  const toAnswer = medianOf(answered.map((run) => Date.parse(run.respondedAt ?? '') - Date.parse(run.createdAt)))
  const ofWork = medianOf(finished.map((run) => workOf(run, 0).totalMs))
  const count = `${hasMore ? 'The last ' : ''}${countOf(runs.length, 'run')}`
  if (toAnswer === null) return <h1>{count}.</h1>
  const subject = runs.length === 1 ? 'One run; its' : `${count}; the median`
  return (
    <h1>
      {subject} answer left after <em>{durationOf(toAnswer)}</em>
      {ofWork === null ? '.' : `, the work took ${durationOf(ofWork)}.`}
    </h1>
  )
}

export function Figures({ stats }: { readonly stats: StatsView | null }) {
  if (stats === null) return <div class="card figures" />
  const { runs, jobs, oldestQueuedMs, threads, eventLoopDelayMs, conservation } = stats
  const waiting = (jobs.queued ?? 0) + (jobs.retrying ?? 0)
  const busy = threads.filter(({ running }) => running > 0).length
  const { accepted, final, live, lost } = conservation
  return (
    <dl class="card figures">
      <Figure value={String(runs.running ?? 0)} name="runs under way" />
      <Figure
        value={waiting.toLocaleString('en')}
        name={oldestQueuedMs === null ? 'jobs waiting' : `jobs waiting, the oldest ${durationOf(oldestQueuedMs)}`}
      />
      <Figure value={`${busy} of ${threads.length}`} name="threads busy" />
      <Figure value={`${eventLoopDelayMs.p99.toFixed(1)} ms`} name="event-loop delay, p99" />
      <Figure
        value={String(lost)}
        name={`jobs lost: ${accepted.toLocaleString('en')} = ${final.toLocaleString('en')} + ${live.toLocaleString('en')}`}
      />
    </dl>
  )
}

export function Figure({ value, name }: { readonly value: string; readonly name: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? null
}
