/**
 * The timeline of a run. Lanes are positioned by CSS custom properties in milliseconds. Only two properties of the whole
 * timeline change with time, `--now` and `--span`, so a frame redraws nothing else.
 */
import { useComputed, useSignal, useSignalEffect, type ReadonlySignal } from '@preact/signals'
import type { RunView } from 'forerunner/client'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { useKeys } from '../shell/keys.ts'
import { serviceNow } from '../shell/service.ts'
import { everyFrame } from '../time/clock.ts'
import { axisTextOf, durationOf, exactOf } from '../time/format.ts'
import { useGestures } from './gestures.ts'
import { Lane } from './lane.tsx'
import type { LiveJob } from './run-store.ts'
import { endOf, segmentsOf } from './segments.ts'
import { RangeBrush } from './range-brush.tsx'
import { tickStepOf, ticksOf, timeScaleOf, type Tick, type TimeScale } from './time-scale.ts'
import { useVisibleRows } from './visible-rows.ts'
import { panned, zoomed, type Window } from './zoom.ts'

export interface TimelineProps {
  readonly run: ReadonlySignal<RunView | null>
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  readonly selected: ReadonlySignal<number>
  readonly onSelect: (index: number) => void
}

/** Interval of frames; longer if a frame moves many elements. */
const frameMs = (lanes: number): number => (lanes < 60 ? 33 : lanes < 300 ? 100 : 250)
/** With more jobs the list scrolls separately, so that the details of a job are never far below. */
const mostUnscrolled = 40
/** Most ticks of the axis. */
const lanesTop = 54
/** If the line is further right than this, the answer's flag is on its left side. */
const flagTurnsAt = 0.62

export function Timeline({ run, jobs, selected, onSelect }: TimelineProps) {
  const plot = useRef<HTMLDivElement>(null)
  const first = run.value
  const start = first === null ? 0 : Date.parse(first.createdAt)
  const answer = useComputed(() => {
    const at = run.value?.respondedAt ?? null
    return at === null ? null : Math.max(0, Date.parse(at) - start)
  })
  const committed = useComputed(() => {
    const at = run.value?.committedAt
    return at === undefined ? null : Math.max(0, Date.parse(at) - start)
  })
  const decidedBy = useComputed(() => run.value?.answer?.jobIndex ?? null)
  const isRace = useComputed(() => run.value?.answer?.mode === 'race' || run.value?.answer?.mode === 'any')
  const scale = useComputed((): TimeScale => {
    const segments = run.value?.jobs.flatMap((job) => segmentsOf(job, start)) ?? []
    return timeScaleOf(segments, answer.value === null ? [0] : [0, answer.value])
  })
  const ticks = useSignal<readonly Tick[]>([])
  const zoom = useSignal<Window | null>(null)
  const whole = useSignal(1)
  const readout = useSignal('')
  const lanes = useRef<HTMLOListElement>(null)
  const scroller = useRef<HTMLDivElement>(null)
  const hair = useRef<HTMLDivElement>(null)

  // Before the first paint, which would otherwise show another scale.
  useLayoutEffect(() => {
    const draw = (now: number): void => {
      const [element, shown] = [plot.current, run.peek()]
      if (element === null || shown === null) return
      const end = Math.max(1, scale.peek().toAxis(endOf(shown, now)))
      whole.value = end * 1.015
      const { from, to } = zoom.peek() ?? { from: 0, to: whole.peek() }
      const span = to - from
      element.style.setProperty('--now', String(end))
      element.style.setProperty('--from', String(from))
      element.style.setProperty('--span', String(span))
      const isNarrow = element.clientWidth < 640
      const step = tickStepOf(span, isNarrow ? 3 : 7)
      // The last label would be cut off at the edge.
      const next = ticksOf(scale.peek(), from, from + span * (isNarrow ? 0.85 : 0.95), step)
      if (JSON.stringify(next) !== JSON.stringify(ticks.peek())) ticks.value = next
      const at = answer.peek()
      if (at === null) return
      const place = (scale.peek().toAxis(at) - from) / span
      element.classList.toggle('late-answer', place > flagTurnsAt)
      element.classList.toggle('past-answer', place < 0)
      element.classList.toggle('no-answer', place > 1)
    }
    draw(serviceNow())
    if (first?.state !== 'running') return undefined
    return everyFrame(draw, frameMs(jobs.peek().length))
  }, [first?.state, first?.version, zoom.value])

  const shown = useVisibleRows(lanes, jobs.value.length).value

  // Keeps the selected job on the screen.
  useSignalEffect(() => {
    const place = (selected.value + 2) * (lanes.current?.firstElementChild?.clientHeight ?? 0)
    const element = scroller.current
    if (element === null) return
    const { scrollTop, clientHeight } = element
    if (place < scrollTop || place > scrollTop + clientHeight - lanesTop) element.scrollTop = place - clientHeight / 2
  })

  const plotBox = (): DOMRect | undefined => hair.current?.parentElement?.getBoundingClientRect()
  const plotWidth = (): number => plotBox()?.width ?? 1
  const axisAt = (clientX: number): number => {
    const { from, to } = zoom.peek() ?? { from: 0, to: whole.peek() }
    return from + ((clientX - (plotBox()?.left ?? 0)) / plotWidth()) * (to - from)
  }
  useGestures(plot, zoom, whole, axisAt, plotWidth)
  const zoomBy = (factor: number) => () => (zoom.value = zoomed(zoom.peek(), whole.peek(), factor))
  const panBy = (share: number) => () => (zoom.value = panned(zoom.peek(), whole.peek(), share))
  useKeys({
    '+': zoomBy(0.5),
    '=': zoomBy(0.5),
    '-': zoomBy(2),
    '0': () => (zoom.value = null),
    h: panBy(-0.25),
    l: panBy(0.25),
  })

  /** Not through a signal, because it follows each move of the pointer. */
  const point = (event: PointerEvent): void => {
    const line = hair.current
    if (line === null) return
    const at = axisAt(event.clientX)
    const { from, to } = zoom.peek() ?? { from: 0, to: whole.peek() }
    line.hidden = event.pointerType === 'touch' || at < from || at > to
    line.style.setProperty('--at', String(at))
    line.textContent = `+${exactOf(scale.peek().fromAxis(at))}`
    readout.value = timesOf(event.target, '[data-times]')
  }

  return (
    <section class="card" aria-label="Timeline">
      <RangeBrush run={run} scale={scale} zoom={zoom} whole={whole} />
      <div ref={scroller} class={jobs.value.length > mostUnscrolled ? 'scroller' : undefined}>
        <div
          class="timeline"
          ref={plot}
          onPointerMove={point}
          onPointerLeave={() => {
            if (hair.current !== null) hair.current.hidden = true
            readout.value = ''
          }}
          onFocusIn={(event) => (readout.value = timesOf(event.target, '.row'))}
        >
          <Answer answer={answer} scale={scale} />
          <Axis ticks={ticks} scale={scale} />
          <div class="plot hairs" aria-hidden="true">
            <div class="hair" ref={hair} hidden />
          </div>
          <ol class="lanes" ref={lanes}>
            <HttpLane answer={answer} committed={committed} scale={scale} />
            {shown.first > 0 && <Unseen rows={shown.first} />}
            {jobs.value.slice(shown.first, shown.end).map((job) => (
              <Lane
                key={job.view.peek().index}
                {...{ job, jobs, start, scale, selected, decidedBy, isRace, onSelect }}
              />
            ))}
            {shown.end < jobs.value.length && <Unseen rows={jobs.value.length - shown.end} />}
          </ol>
        </div>
      </div>
      <Legend readout={readout} />
    </section>
  )
}

/** Fills the space of lanes that are far from the screen. */
function Unseen({ rows }: { readonly rows: number }) {
  return <li class="unseen-rows" aria-hidden="true" style={{ '--rows': rows }} />
}

interface AnswerProps {
  readonly answer: ReadonlySignal<number | null>
  readonly scale: ReadonlySignal<TimeScale>
}

/** The line where the answer left, and the shaded area to its right: the client already has the answer. */
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

interface HttpLaneProps extends AnswerProps {
  readonly committed: ReadonlySignal<number | null>
}

function HttpLane({ answer, committed, scale }: HttpLaneProps) {
  const [at, kept] = [answer.value, committed.value]
  const times = [
    'received +0 ms',
    ...(kept === null ? [] : [`committed +${exactOf(kept)}`]),
    ...(at === null ? [] : [`answer sent +${exactOf(at)}`]),
  ]
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
        <span class="received" title={kept === null ? 'received and committed' : 'received'} />
        {kept !== null && (
          <span class="committed" title={`committed, +${exactOf(kept)}`} style={{ '--s': scale.value.toAxis(kept) }} />
        )}
        <span class={at === null ? 'bar http open' : 'bar http'} style={place} data-times={times.join(', ')} />
      </div>
      <div class="outcome is-answer">
        <span class="glyph">▸</span> {at === null ? 'no answer yet' : durationOf(at)}
      </div>
    </li>
  )
}

interface AxisProps {
  readonly ticks: ReadonlySignal<readonly Tick[]>
  readonly scale: ReadonlySignal<TimeScale>
}

function Axis({ ticks, scale }: AxisProps) {
  return (
    <div class="plot axis" aria-hidden="true">
      {ticks.value.map(({ ms, at }) => (
        <span key={ms} class="axis-tick" style={{ '--at': at }}>
          <span>{axisTextOf(ms)}</span>
        </span>
      ))}
      {scale.value.breaks.map(({ at, width, idleMs }) => (
        <span key={at} class="gap" style={{ '--at': at, '--width': width }}>
          <span>{durationOf(idleMs)} idle</span>
        </span>
      ))}
    </div>
  )
}

/** The exact times of all bars within the nearest element of this kind. */
function timesOf(target: EventTarget | null, selector: string): string {
  const element = target instanceof Element ? target.closest(selector) : null
  if (element === null) return ''
  const bars = element.matches('[data-times]') ? [element] : [...element.querySelectorAll('[data-times]')]
  const name = element.closest('.row')?.querySelector('b')?.textContent ?? ''
  return bars.length === 0 ? '' : `${name}, ${bars.map((bar) => bar.getAttribute('data-times')).join('; ')}`
}

function Legend({ readout }: { readonly readout: ReadonlySignal<string> }) {
  if (readout.value !== '') return <div class="legend readout">{readout.value}</div>
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
        <kbd>j</kbd> <kbd>k</kbd> job · <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom · <kbd>h</kbd> <kbd>l</kbd> move ·{' '}
        <kbd>t</kbd> table
      </span>
    </div>
  )
}
