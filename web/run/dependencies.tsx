/** Thin lines to a job's lane from the jobs whose results it needed, starting where each of them ended. */
import type { ReadonlySignal } from '@preact/signals'
import type { LiveJob } from './run-store.ts'
import { segmentsOf } from './segments.ts'
import type { TimeScale } from './time-scale.ts'

export interface DependenciesProps {
  readonly job: LiveJob
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  readonly start: number
  readonly scale: TimeScale
}

/** If a job needs hundreds, the ones that ended last are enough. */
const mostLines = 12

export function Dependencies({ job, jobs, start, scale }: DependenciesProps) {
  const { index, after = [] } = job.view.value
  if (after.length === 0) return null
  const lines = after
    .flatMap((from) => jobs.value[from]?.view.value ?? [])
    .map((needed) => ({ index: needed.index, end: segmentsOf(needed, start).at(-1)?.to ?? null }))
    .toSorted((one, other) => (one.end ?? Infinity) - (other.end ?? Infinity))
    .slice(-mostLines)
  const begin = segmentsOf(job.view.value, start).find(({ attempt }) => attempt !== null)?.from ?? null
  return (
    <>
      {lines.map(({ index: from, end }) => (
        <i
          key={from}
          class={end === null ? 'needs open' : 'needs'}
          style={{
            '--rows': index - from,
            ...(end !== null && { '--s': scale.toAxis(end) }),
            ...(begin !== null && { '--e': Math.max(scale.toAxis(begin), end === null ? 0 : scale.toAxis(end)) }),
          }}
        />
      ))}
    </>
  )
}
