/** Where an instant stands on the axis: idle time is taken out, so that work is not a hair's breadth beside it. Pure. */
import type { Segment } from './segments.ts'

export interface Break {
  /** On the axis. */
  readonly at: number
  readonly width: number
  /** How long nothing ran, in milliseconds. */
  readonly idleMs: number
}

export interface TimeScale {
  readonly breaks: readonly Break[]
  /** Milliseconds on the axis, of milliseconds since the run was accepted. */
  toAxis(ms: number): number
  /** The other way round. */
  fromAxis(at: number): number
}

/** Idle time is shortened only where it is longer than this, and longer than all that ran. */
const leastIdleMs = 5_000
/** A break takes this part of the time that ran. */
const breakShare = 0.08

const plainScale: TimeScale = { breaks: [], toAxis: (ms) => ms, fromAxis: (at) => at }

/** @param marks instants that are something themselves, such as the answer */
export function timeScaleOf(segments: readonly Segment[], marks: readonly number[]): TimeScale {
  const busy = segments
    .filter(({ kind, attempt }) => attempt !== null || kind === 'lost')
    // When a process has died is not known.
    .map(({ kind, from, to }) => [from, kind === 'lost' ? from : (to ?? Infinity)] as const)
    .concat(marks.map((at) => [at, at] as const))
    .toSorted(([a], [b]) => a - b)
  const gaps: { from: number; to: number }[] = []
  let end = 0
  let busyMs = 0
  for (const [from, to] of busy) {
    if (from > end) gaps.push({ from: end, to: from })
    // What goes on counts with nothing: when it will end is not known.
    if (to !== Infinity && to > end) busyMs += to - Math.max(from, end)
    end = Math.max(end, to)
  }
  const width = Math.max(50, busyMs * breakShare)
  let removed = 0
  const shifts: { readonly from: number; readonly to: number; readonly before: number }[] = []
  for (const { from, to } of gaps) {
    if (to - from < Math.max(leastIdleMs, 2 * busyMs)) continue
    shifts.push({ from, to, before: removed })
    removed += to - from - width
  }
  // The same one each time: what is placed by it is then as it was.
  if (shifts.length === 0) return plainScale
  return {
    breaks: shifts.map(({ from, to, before }) => ({ at: from - before, width, idleMs: to - from })),
    toAxis(ms) {
      const shift = shifts.findLast(({ from }) => ms > from)
      if (shift === undefined) return ms
      const { from, to, before } = shift
      if (ms >= to) return ms - before - (to - from - width)
      return from - before + (width * (ms - from)) / (to - from)
    },
    fromAxis(at) {
      const shift = shifts.findLast(({ from, before }) => at > from - before)
      if (shift === undefined) return at
      const { from, to, before } = shift
      const into = at - (from - before)
      return into >= width ? to + into - width : from + ((to - from) * into) / width
    },
  }
}

const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000]
const longSteps = [60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000]

/** The distance between ticks, in milliseconds, so that at most `most` of them fit on an axis of this length. */
export function tickStepOf(spanMs: number, most: number): number {
  return [...steps, ...longSteps].find((step) => spanMs / step <= most) ?? 7 * 86_400_000
}

export interface Tick {
  /** Milliseconds since the run was accepted. */
  readonly ms: number
  readonly at: number
}

/** Round times within a part of the axis; none within a break. */
export function ticksOf({ breaks, toAxis, fromAxis }: TimeScale, from: number, to: number, step: number): Tick[] {
  const ends = [from, ...breaks.flatMap(({ at, width }) => [at, at + width]), to]
  const ticks: Tick[] = []
  for (let place = 0; place < ends.length; place += 2) {
    const [begin, end] = [Math.max(from, ends[place] ?? from), Math.min(to, ends[place + 1] ?? to)]
    if (begin > end) continue
    // Of a stretch behind a break the first one is left out: the break's own text is there.
    const first = Math.ceil(fromAxis(begin + (place === 0 ? 0 : 0.001)) / step) * step
    const last = fromAxis(end)
    for (let ms = first; ms <= last; ms += step) ticks.push({ ms, at: toAxis(ms) })
  }
  return ticks
}
