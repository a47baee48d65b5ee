/** The stored steps of a job: ticks on its lane, and a list with their times. */
import type { JobView } from 'forerunner/client'
import { durationOf, exactOf } from '../time/format.ts'
import type { TimeScale } from './time-scale.ts'

type Steps = NonNullable<JobView['steps']>

/** More ticks would overlap, and slow each frame down. */
const mostTicks = 200
const mostNamed = 20

const timeOf = (instant: string, start: number): number => Math.max(0, Date.parse(instant) - start)

export interface StepTicksProps {
  readonly job: JobView
  readonly start: number
  readonly scale: TimeScale
}

export function StepTicks({ job: { steps = [] }, start, scale }: StepTicksProps) {
  const every = Math.ceil(steps.length / mostTicks)
  return (
    <>
      {steps
        .filter((_step, place) => place % every === 0)
        .map(({ name, finishedAt }) => {
          const at = timeOf(finishedAt, start)
          return <i key={name} class="step" style={{ '--at': scale.toAxis(at) }} title={`${name}, +${exactOf(at)}`} />
        })}
    </>
  )
}

/** For the table: as many names as fit. */
export function stepsText(steps: Steps = []): string {
  const names = steps.slice(0, mostNamed).map(({ name }) => name)
  const more = steps.length - names.length
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ')
}

/** The latest steps, with their times since the run was accepted. */
export function StepList({ steps = [], start }: { readonly steps: Steps | undefined; readonly start: number }) {
  if (steps.length === 0) return null
  const shown = steps.slice(-mostNamed)
  return (
    <div class="steps">
      <b>{steps.length === 1 ? '1 step is stored' : `${steps.length} steps are stored`}</b>
      <ol aria-label="Stored steps" start={steps.length - shown.length + 1}>
        {shown.map(({ name, finishedAt }) => (
          <li key={name}>
            {name} <time>+{durationOf(timeOf(finishedAt, start))}</time>
          </li>
        ))}
      </ol>
    </div>
  )
}
