/** One job on the timeline: its name and thread, its segments, and its outcome. */
import type { ReadonlySignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { glyphOf } from '../shell/state.tsx'
import { secondNow } from '../time/clock.ts'
import { durationOf, exactOf, shareOf } from '../time/format.ts'
import { Dependencies } from './dependencies.tsx'
import type { LiveJob } from './run-store.ts'
import { segmentsOf, type Segment } from './segments.ts'
import { StepTicks } from './steps.tsx'
import type { TimeScale } from './time-scale.ts'

export interface LaneProps {
  readonly job: LiveJob
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  readonly start: number
  readonly scale: ReadonlySignal<TimeScale>
  readonly selected: ReadonlySignal<number>
  readonly decidedBy: ReadonlySignal<number | null>
  /** Whether the first job that ends, or succeeds, decides the answer. */
  readonly isRace: ReadonlySignal<boolean>
  readonly onSelect: (index: number) => void
}

export function Lane({ job, jobs, start, scale, selected, decidedBy, isRace, onSelect }: LaneProps) {
  const shown = job.view.value
  const { index, task, thread } = shown
  const segments = segmentsOf(shown, start)
  const isSelected = selected.value === index
  const tries = segments.filter(({ attempt }) => attempt !== null).length
  return (
    <li class={isSelected ? 'row selected' : 'row'} data-state={shown.state}>
      <button type="button" class="lab" aria-pressed={isSelected} onClick={() => onSelect(index)}>
        <b>{task}</b>
        <small>
          {thread ?? (shown.state === 'queued' || shown.state === 'blocked' ? 'no thread yet' : '–')}
          {decidedBy.value === index && (
            <span class="decided">
              {' ▸'}
              <span class="aside"> {isRace.value ? 'won' : 'answer'}</span>
            </span>
          )}
        </small>
      </button>
      <div class="track" aria-hidden="true">
        <Dependencies job={job} jobs={jobs} start={start} scale={scale.value} />
        {segments.map((segment, place) => (
          <Bar key={place} segment={segment} scale={scale.value} progress={job.progress} />
        ))}
        <StepTicks job={shown} start={start} scale={scale.value} />
      </div>
      <div class={`outcome is-${shown.state}`}>
        <span class="glyph" aria-hidden="true">
          {glyphOf(shown.state)}
        </span>
        <span class="unseen">{shown.state}</span>{' '}
        {shown.state === 'running' ? <Share progress={job.progress} /> : outcomeOf(shown, segments)}
        {tries > 1 && shown.state !== 'retrying' && <span class="aside">, {tries} tries</span>}
      </div>
    </li>
  )
}

interface BarProps {
  readonly segment: Segment
  readonly scale: TimeScale
  readonly progress: ReadonlySignal<number | null>
}

function Bar({ segment: { kind, from, to, attempt }, scale, progress }: BarProps) {
  const lasts = to === null ? 'goes on' : `to +${exactOf(to)}, ${exactOf(to - from)}`
  const what = attempt === null ? (kind === 'lost' ? 'lost with its process' : kind) : `attempt ${attempt}: ${kind}`
  const place = {
    '--s': scale.toAxis(from),
    ...(to !== null && { '--e': scale.toAxis(to) }),
    ...(kind === 'running' && { '--p': progress.value ?? 0 }),
  }
  return <span class={`bar ${kind}`} style={place} data-times={`${what}, +${exactOf(from)} ${lasts}`} />
}

function Share({ progress }: Pick<BarProps, 'progress'>) {
  return <>{progress.value === null ? 'running' : shareOf(progress.value, 1)}</>
}

function outcomeOf(job: JobView, segments: readonly Segment[]): string {
  const ran = segments.reduce(
    (sum, { from, to, attempt }) => sum + (attempt === null || to === null ? 0 : to - from),
    0,
  )
  switch (job.state) {
    case 'blocked':
      return `waits for ${job.waitsFor.join(', ')}`
    case 'queued':
      return dueOf(job, 'due in') ?? 'waiting'
    case 'retrying':
      return dueOf(job, 'retry in') ?? 'waiting'
    case 'running':
    case 'completed':
    case 'failed':
      return durationOf(ran)
    case 'cancelled':
      return ran === 0 ? 'not started' : durationOf(ran)
    default:
      // A state that only a newer service knows.
      return job.state
  }
}

/** null for a job that is due. */
function dueOf({ runAt }: JobView, words: string): string | null {
  const ms = runAt === null ? 0 : Date.parse(runAt) - secondNow.value
  return ms <= 0 ? null : `${words} ${durationOf(ms)}`
}
