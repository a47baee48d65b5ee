/**
 * The timeline of a run. Lanes are placed by custom properties in milliseconds; what moves with time are two properties
 * of the whole, `--now` and `--span`, so that a frame draws nothing again that has not changed.
 */
import { useComputed, useSignal, type ReadonlySignal } from '@preact/signals'
import type { RunView } from 'forerunner/client'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { serviceNow } from '../shell/service.ts'
import { everyFrame } from '../time/clock.ts'
import { axisTextOf, durationOf } from '../time/format.ts'
import { Lane } from './lane.tsx'
import type { LiveJob } from './run-store.ts'
import { endOf, segmentsOf } from './segments.ts'
import { tickStepOf, timeScaleOf, type TimeScale } from './time-scale.ts'

export interface TimelineProps {
  readonly run: ReadonlySignal<RunView | null>
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  readonly selected: ReadonlySignal<number>
  readonly onSelect: (index: number) => void
}

/** Between two frames; longer where a frame has more to move. */
const frameMs = (lanes: number): number => (lanes < 60 ? 33 : lanes < 300 ? 100 : 250)
/** The answer's flag stands left of its line where the line is further right than this. */
const flagTurnsAt = 0.62

export function Timeline({ run, jobs, selected, onSelect }: TimelineProps) {
  const plot = useRef<HTMLDivElement>(null)
  const first = run.value
  const start = first === null ? 0 : Date.parse(first.createdAt)
  const answer = useComputed(() => {
    const at = run.value?.respondedAt ?? null
    return at === null ? null : Math.max(0, Date.parse(at) - start)
  })
  const decidedBy = useComputed(() => run.value?.answer?.jobIndex ?? null)
  const scale = useComputed((): TimeScale => {
    const segments = run.value?.jobs.flatMap((job) => segmentsOf(job, start)) ?? []
    return timeScaleOf(segments, answer.value === null ? [0] : [0, answer.value])
  })
  const step = useSignal(1_000)
  const ticks = useSignal(0)

  // Before anything is painted: the first frame must not show another scale.
  useLayoutEffect(() => {
    const draw = (now: number): void => {
      const [element, shown] = [plot.current, run.peek()]
      if (element === null || shown === null) return
      const span = Math.max(1, scale.peek().toAxis(endOf(shown, now)))
      element.style.setProperty('--now', String(span))
      element.style.setProperty('--span', String(span * 1.015))
      const nextStep = tickStepOf(span, element.clientWidth < 640 ? 3 : 7)
      step.value = nextStep
      // The last one would be cut off at the edge.
      ticks.value = Math.floor((span * 0.96) / nextStep)
      const at = answer.peek()
      if (at !== null) element.classList.toggle('late-answer', scale.peek().toAxis(at) / span > flagTurnsAt)
    }
    draw(serviceNow())
    if (first?.state !== 'running') return undefined
    return everyFrame(draw, frameMs(jobs.peek().length))
  }, [first?.state, first?.version])

  return (
    <section class="card" aria-label="Timeline">
      <div class="timeline" ref={plot}>
        <Answer answer={answer} scale={scale} />
        <Axis step={step} ticks={ticks} scale={scale} />
        <ol class="lanes">
          <HttpLane answer={answer} scale={scale} />
          {jobs.value.map((job) => (
            <Lane key={job.view.peek().index} {...{ job, start, scale, selected, decidedBy, onSelect }} />
          ))}
        </ol>
      </div>
      <Legend />
    </section>
  )
}

interface AnswerProps {
  readonly answer: ReadonlySignal<number | null>
  readonly scale: ReadonlySignal<TimeScale>
}

/** The line where the answer left; to its right, the ground says that the client has it. */
function Answer({ answer, scale }: AnswerProps) {
  const at = answer.value
  if (at === null) return null
  return (
    <div class="plot after-answer" style={{ '--at': scale.value.toAxis(at) }}>
      <div class="after" />
      <div class="flag">▸ answer sent</div>
      <div class="note">the client already has its answer</div>
    </div>
  )
}

function HttpLane({ answer, scale }: AnswerProps) {
  const at = answer.value
  const place = { '--s': 0, ...(at !== null && { '--e': scale.value.toAxis(at) }) }
  return (
    <li class="row http">
      <div class="lab">
        <b>HTTP</b>
        <small>
          POST<span class="aside"> /run-tasks</span>
        </small>
      </div>
      <div class="track" aria-hidden="true">
        <span class="received" title="received and committed" />
        <span class={at === null ? 'bar http open' : 'bar http'} style={place} />
      </div>
      <div class="outcome is-answer">
        <span class="glyph">▸</span> {at === null ? 'no answer yet' : durationOf(at)}
      </div>
    </li>
  )
}

interface AxisProps {
  readonly step: ReadonlySignal<number>
  readonly ticks: ReadonlySignal<number>
  readonly scale: ReadonlySignal<TimeScale>
}

function Axis({ step, ticks, scale }: AxisProps) {
  const { breaks, toAxis } = scale.value
  // Ticks name real time: after a break they stand where their instant does.
  const real = Array.from({ length: ticks.value + 1 }, (_, index) => index * step.value)
  const shown = breaks.length === 0 ? real : real.filter((ms) => ms === 0 || toAxis(ms) === ms)
  return (
    <div class="plot axis" aria-hidden="true">
      {shown.map((ms) => (
        <span key={ms} class="axis-tick" style={{ '--at': ms }}>
          {axisTextOf(ms)}
        </span>
      ))}
      {breaks.map(({ at, width, idleMs }) => (
        <span key={at} class="gap" style={{ '--at': at, '--width': width }}>
          <span>{durationOf(idleMs)} idle</span>
        </span>
      ))}
    </div>
  )
}

function Legend() {
  return (
    <div class="legend" aria-hidden="true">
      <span class="is-answer">
        <i class="bar http" /> request ▸
      </span>
      <span>
        <i class="bar waiting" /> waiting
      </span>
      <span>
        <i class="bar running" /> running ◐
      </span>
      <span>
        <i class="bar completed" /> completed ✓
      </span>
      <span>
        <i class="bar failed" /> failed ✕
      </span>
      <span>
        <i class="bar backoff" /> waits to retry
      </span>
      <span class="keys">
        <kbd>j</kbd> <kbd>k</kbd> next, previous job · <kbd>t</kbd> as a table
      </span>
    </div>
  )
}
