/** Line charts of the last minutes, with the figures at the pointer or at the position chosen with the arrow keys. */
import { useSignal } from '@preact/signals'
import type { RecentView } from 'forerunner/client'
import { clockOf } from '../time/format.ts'
import { glyphOfMark, wordsOfMark, type Mark } from './marks.tsx'

export type Slot = RecentView['slots'][number]

export interface Line {
  readonly name: string
  /** Name of its CSS class. */
  readonly kind: string
  valueOf(slot: Slot): number | null
}

export interface SeriesProps {
  readonly title: string
  readonly note?: string
  readonly lines: readonly Line[]
  readonly slots: readonly Slot[]
  readonly slotMs: number
  readonly marks: readonly Mark[]
  readonly textOf: (value: number) => string
  /** The axis ends at this value or above. */
  readonly least: number
}

const [width, height] = [600, 96]
const minuteMs = 60_000
const spansMin = [2, 5, 15]

export function Series({ title, note, lines, slots, slotMs, marks, textOf, least }: SeriesProps) {
  const chosen = useSignal<number | null>(null)
  const last = slots.length - 1
  const place = chosen.value === null ? last : Math.max(0, Math.min(last, chosen.value))
  const shown = slots[place]
  const end = Date.parse(slots[last]?.at ?? '') || 0
  const ageMin = (end - (Date.parse(slots[0]?.at ?? '') || end)) / minuteMs
  const spanMin = spansMin.find((minutes) => minutes >= ageMin) ?? 15
  const spanMs = spanMin * minuteMs
  const xOf = ({ at }: Pick<Slot, 'at'>): number => width * (1 - (end - Date.parse(at)) / spanMs)
  const values = lines.flatMap((line) => slots.map((slot) => line.valueOf(slot) ?? 0))
  const top = niceTop(Math.max(least, ...values))
  const yOf = (value: number): number => height * (1 - value / top)

  const pick = (event: PointerEvent & { readonly currentTarget: Element }): void => {
    const { left, width: wide } = event.currentTarget.getBoundingClientRect()
    const at = end - spanMs * (1 - (event.clientX - left) / wide)
    chosen.value = slots.findIndex((slot) => Date.parse(slot.at) >= at - slotMs / 2)
  }
  const step = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
    if (by === 0) return
    event.preventDefault()
    chosen.value = Math.max(0, Math.min(last, place + by))
  }
  return (
    <section class="card series" aria-label={title}>
      <div class="head">
        <h2>{title}</h2>
        <small>{shown === undefined || chosen.value === null ? note : clockOf(shown.at)}</small>
      </div>
      <ul class="measures">
        {lines.map((line) => {
          const value = shown === undefined ? null : line.valueOf(shown)
          return (
            <li key={line.name}>
              <i class={line.kind} />
              {line.name} <b>{value === null ? '–' : textOf(value)}</b>
            </li>
          )
        })}
      </ul>
      <div
        class="chart"
        tabIndex={0}
        role="slider"
        aria-label={`${title}: a moment of the last quarter of an hour`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, last)}
        aria-valuenow={Math.max(0, place)}
        aria-valuetext={shown === undefined ? 'no figures yet' : sayOf(shown, lines, textOf)}
        onPointerMove={pick}
        onPointerDown={pick}
        onPointerLeave={() => (chosen.value = null)}
        onKeyDown={step}
        onBlur={() => (chosen.value = null)}
      >
        <span class="top">{textOf(top)}</span>
        <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
          <path class="rule" d={`M0 0H${width}M0 ${height / 2}H${width}M0 ${height}H${width}`} />
          {chosen.value !== null && shown !== undefined && <path class="cursor" d={`M${xOf(shown)} 0V${height}`} />}
          {lines.map((line) => (
            <path key={line.name} class={line.kind} d={pathOf(line)} />
          ))}
        </svg>
        {marks
          .filter((mark) => xOf(mark) >= 0 && xOf(mark) <= width)
          .map((mark) => (
            <span
              key={mark.at + mark.kind + mark.cause}
              class={`chart-mark ${mark.kind}`}
              title={wordsOfMark(mark)}
              style={{ '--x': xOf(mark) / width }}
            >
              {glyphOfMark(mark)}
            </span>
          ))}
        {slots.length < 2 && <span class="none">a point every ten seconds</span>}
      </div>
      <div class="ends" aria-hidden="true">
        <span>{spanMin} min ago</span>
        <span>now</span>
      </div>
    </section>
  )

  /** The line is interrupted where there are no figures: the service was away, or nothing was measured. */
  function pathOf(line: Line): string {
    let path = ''
    let before: Slot | null = null
    for (const slot of slots) {
      const value = line.valueOf(slot)
      const isNext = before !== null && Date.parse(slot.at) - Date.parse(before.at) < 2.5 * slotMs
      if (value !== null)
        path += `${isNext ? 'L' : 'M'}${xOf(slot).toFixed(1)} ${yOf(value).toFixed(1)}${isNext ? '' : 'h.1'}`
      before = value === null ? null : slot
    }
    return path
  }
}

function sayOf(slot: Slot, lines: readonly Line[], textOf: (value: number) => string): string {
  const figures = lines.map((line) => {
    const value = line.valueOf(slot)
    return `${line.name} ${value === null ? 'not measured' : textOf(value)}`
  })
  return `${clockOf(slot.at)}: ${figures.join(', ')}`
}

/** Rounds up to 1, 2 or 5 times a power of ten. */
function niceTop(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 5, 10].find((factor) => factor * unit >= value) ?? 10) * unit
}
