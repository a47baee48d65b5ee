/** Maps instants to positions on the axis. Long idle times are cut out, so that work stays visible. Pure. */
import type { Segment } from './segments.ts'

export interface Break {
  /** Position on the axis. */
  readonly at: number
  readonly width: number
  /** Duration of the idle time, in milliseconds. */
  readonly idleMs: number
}

export interface TimeScale {
  readonly breaks: readonly Break[]
  /** Converts milliseconds since the run was accepted to milliseconds on the axis. */
  toAxis(ms: number): number
  /** The inverse. */
  fromAxis(at: number): number
}

/** Idle time is cut only if it is longer than this, and longer than all work. */
const leastIdleMs = 5_000
/** A cut takes this share of the total work. */
const breakShare = 0.08

const plainScale: TimeScale = { breaks: [], toAxis: (ms) => ms, fromAxis: (at) => at }

/** @param marks instants to keep visible, such as the answer */
export function timeScaleOf(segments: readonly Segment[], marks: readonly number[]): TimeScale {
  const busy = segments
    .filter(({ kind, attempt }) => attempt !== null || kind === 'lost')
    // It is unknown when the process died.
    .map(({ kind, from, to }) => [from, kind === 'lost' ? from : (to ?? Infinity)] as const)
    .concat(marks.map((at) => [at, at] as const))
    .toSorted(([a], [b]) => a - b)
  const gaps: { from: number; to: number }[] = []
  let end = 0
  let busyMs = 0
  for (const [from, to] of busy) {
    if (from > end) gaps.push({ from: end, to: from })
    // A running attempt counts as empty, because its end is unknown.
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
  // Returns the same object if nothing has changed, so that elements keep their positions.
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

/** The distance between ticks, in milliseconds, such that an axis of this length has at most `most` ticks. */
export function tickStepOf(spanMs: number, most: number): number {
  return [...steps, ...longSteps].find((step) => spanMs / step <= most) ?? 7 * 86_400_000
}

export interface Tick {
  /** Milliseconds since the run was accepted. */
  readonly ms: number
  readonly at: number
}

/** Ticks at round times within the visible part of the axis; none within a cut. */
export function ticksOf({ breaks, toAxis, fromAxis }: TimeScale, from: number, to: number, step: number): Tick[] {
  const ends = [from, ...breaks.flatMap(({ at, width }) => [at, at + width]), to]
  const ticks: Tick[] = []
  for (let place = 0; place < ends.length; place += 2) {
    const [begin, end] = [Math.max(from, ends[place] ?? from), Math.min(to, ends[place + 1] ?? to)]
    if (begin > end) continue
    // The first tick after a cut is omitted, because the cut's own label is there.
    const first = Math.ceil(fromAxis(begin + (place === 0 ? 0 : 0.001)) / step) * step
    const last = fromAxis(end)
    for (let ms = first; ms <= last; ms += step) ticks.push({ ms, at: toAxis(ms) })
  }
  return ticks
}
