/** The whole run in a strip, on which the visible part can be drawn, moved and resized by pointer, finger and keys. */
import type { ReadonlySignal, Signal } from '@preact/signals'
import type { RunView } from 'forerunner/client'
import { useEffect, useRef } from 'preact/hooks'
import { secondNow } from '../time/clock.ts'
import { exactOf } from '../time/format.ts'
import { segmentsOf, type SegmentKind } from './segments.ts'
import type { TimeScale } from './time-scale.ts'
import { windowOf, type Window } from './zoom.ts'

export interface RangeBrushProps {
  readonly run: ReadonlySignal<RunView | null>
  readonly scale: ReadonlySignal<TimeScale>
  readonly zoom: Signal<Window | null>
  /** Length of the axis. */
  readonly whole: ReadonlySignal<number>
}

type Drag = { readonly kind: 'new' | 'from' | 'to' | 'pan'; readonly at: number; readonly before: Window | null }

const edgePx = 9
const clickPx = 4
const keyStep = 0.02
const colours: Partial<Record<SegmentKind, string>> = {
  running: '--run',
  completed: '--ok',
  failed: '--bad',
  cancelled: '--wait',
  waiting: '--strong-line',
  lost: '--wait',
}

export function RangeBrush({ run, scale, zoom, whole }: RangeBrushProps) {
  const strip = useRef<HTMLDivElement>(null)
  const drag = useRef<Drag | null>(null)
  const shown = zoom.value
  const length = whole.value

  const at = (event: PointerEvent): number => {
    const box = strip.current?.getBoundingClientRect()
    return box === undefined ? 0 : Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * length
  }
  const perPx = (): number => length / (strip.current?.clientWidth ?? 1)
  const begin = (event: PointerEvent): void => {
    const place = at(event)
    const near = edgePx * perPx()
    const kindOf = (): Drag['kind'] => {
      if (shown === null) return 'new'
      if (Math.abs(place - shown.from) < near) return 'from'
      if (Math.abs(place - shown.to) < near) return 'to'
      return place > shown.from && place < shown.to ? 'pan' : 'new'
    }
    drag.current = { kind: kindOf(), at: place, before: shown }
    strip.current?.setPointerCapture(event.pointerId)
  }
  const move = (event: PointerEvent): void => {
    if (drag.current === null) return
    const { kind, at: from, before } = drag.current
    const place = at(event)
    if (kind === 'new') {
      if (Math.abs(place - from) > clickPx * perPx()) zoom.value = windowOf(from, place, length)
    } else if (before === null) return
    else if (kind === 'pan') zoom.value = windowOf(before.from + place - from, before.to + place - from, length)
    else if (kind === 'from') zoom.value = windowOf(place, before.to, length)
    else zoom.value = windowOf(before.from, place, length)
  }
  const end = (event: PointerEvent): void => {
    const { kind, at: from } = drag.current ?? { kind: 'pan', at: 0 }
    // A click outside of the range shows everything again.
    if (kind === 'new' && Math.abs(at(event) - from) <= clickPx * perPx()) zoom.value = null
    drag.current = null
  }
  const { from, to } = shown ?? { from: 0, to: length }
  return (
    <div class="brush" role="group" aria-label="Part of the time that is shown">
      <div
        ref={strip}
        class={shown === null ? 'strip' : 'strip zoomed'}
        onPointerDown={begin}
        onPointerMove={move}
        onPointerUp={end}
        onPointerCancel={() => (drag.current = null)}
        onDblClick={() => (zoom.value = null)}
      >
        <Picture run={run} scale={scale} whole={whole} />
        <div class="window" style={{ '--f': from / length, '--t': to / length }}>
          <Handle
            name="from"
            value={from}
            max={length}
            scale={scale}
            onMove={(value) => (zoom.value = windowOf(Math.min(value, to), to, length))}
          />
          <Handle
            name="to"
            value={to}
            max={length}
            scale={scale}
            onMove={(value) => (zoom.value = windowOf(from, Math.max(value, from), length))}
          />
        </div>
      </div>
    </div>
  )
}

interface HandleProps {
  readonly name: 'from' | 'to'
  readonly value: number
  readonly max: number
  readonly scale: ReadonlySignal<TimeScale>
  readonly onMove: (value: number) => void
}

function Handle({ name, value, max, scale, onMove }: HandleProps) {
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: value - max * keyStep,
    ArrowDown: value - max * keyStep,
    ArrowRight: value + max * keyStep,
    ArrowUp: value + max * keyStep,
    PageDown: value - 5 * max * keyStep,
    PageUp: value + 5 * max * keyStep,
    Home: 0,
    End: max,
  }
  return (
    <span
      class={`handle ${name}`}
      role="slider"
      tabIndex={0}
      aria-label={`Shown ${name}`}
      aria-valuemin={0}
      aria-valuemax={Math.round(max)}
      aria-valuenow={Math.round(value)}
      aria-valuetext={exactOf(scale.value.fromAxis(value))}
      onKeyDown={(event) => {
        const next = steps[event.key]
        if (next === undefined) return
        event.preventDefault()
        onMove(Math.max(0, Math.min(max, next)))
      }}
    />
  )
}

/** Each job is a thin line, in the colours of its attempts. */
function Picture({ run, scale, whole }: Pick<RangeBrushProps, 'run' | 'scale' | 'whole'>) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const shown = run.value
  const now = shown?.state === 'running' ? secondNow.value : 0
  useEffect(() => {
    const [element, context] = [canvas.current, canvas.current?.getContext('2d')]
    if (element === null || context === null || context === undefined || shown === null) return
    const ratio = devicePixelRatio
    const [width, height] = [element.clientWidth, element.clientHeight]
    element.width = width * ratio
    element.height = height * ratio
    context.scale(ratio, ratio)
    const style = getComputedStyle(element)
    const { toAxis } = scale.peek()
    const length = whole.peek()
    const start = Date.parse(shown.createdAt)
    const laneHeight = height / shown.jobs.length
    for (const [index, job] of shown.jobs.entries()) {
      for (const { kind, from, to } of segmentsOf(job, start)) {
        const colour = colours[kind]
        if (colour === undefined) continue
        const x = (toAxis(from) / length) * width
        const end = to === null ? width : (toAxis(to) / length) * width
        context.fillStyle = style.getPropertyValue(colour)
        context.fillRect(x, index * laneHeight, Math.max(1, end - x), Math.max(0.6, laneHeight * 0.7))
      }
    }
    if (shown.respondedAt === null) return
    context.fillStyle = style.getPropertyValue('--accent')
    context.fillRect((toAxis(Date.parse(shown.respondedAt) - start) / length) * width, 0, 1.5, height)
  }, [shown, now, whole.value])
  return <canvas ref={canvas} aria-hidden="true" />
}
