/** The time of a run as a row of columns: when each job waited, when it ran, and when the answer left. */
import type { JobView, RunView } from '../client/client.ts'
import { type Glyphs, styled } from './terminal.ts'

type Style = Parameters<typeof styled>[0]
type Cell = readonly [character: string, style: Style | null]

export interface Axis {
  readonly from: number
  readonly to: number
  readonly width: number
}

export const stateStyles: Readonly<Record<JobView['state'], Style>> = {
  queued: 'dim',
  retrying: 'yellow',
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  cancelled: 'yellow',
  blocked: 'dim',
}
/** Of the answer and of nothing else. */
export const answerStyle: Style = 'magenta'

/** While it goes on it ends at a round number, so that the bars do not move at each change. */
const roundMs = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000]
const hourMs = 3_600_000

export function axisOf({ createdAt, finishedAt }: RunView, now: number, width: number): Axis {
  const from = Date.parse(createdAt)
  if (finishedAt !== null) return { from, to: Math.max(from + 1, Date.parse(finishedAt)), width }
  const elapsed = now - from
  const round = roundMs.find((ms) => ms >= elapsed) ?? Math.ceil(elapsed / hourMs) * hourMs
  return { from, to: from + round, width }
}

export function columnOf({ from, to, width }: Axis, at: number): number {
  return Math.min(width - 1, Math.max(0, Math.floor(((at - from) / (to - from)) * width)))
}

/** @param now where what goes on has come to */
export function trackOf(job: JobView, axis: Axis, answeredAt: number | null, now: number, glyphs: Glyphs): string {
  const cells: Cell[] = Array.from({ length: axis.width }, () => [' ', null])
  const fill = (from: number, to: number, character: string, style: Style): number => {
    const last = columnOf(axis, to)
    for (let at = columnOf(axis, from); at <= last; at += 1) cells[at] = [character, style]
    return last
  }
  const { queuedAt, startedAt, finishedAt, failures, state } = job
  const end = finishedAt === null ? now : Date.parse(finishedAt)
  fill(Date.parse(queuedAt), end, glyphs.wait, 'dim')
  const isUnderWay = state !== 'queued' && state !== 'retrying' && startedAt !== null
  if (isUnderWay) fill(Date.parse(startedAt), end, glyphs.attempt, stateStyles[state])
  for (const failure of failures ?? []) {
    const last = fill(Date.parse(failure.startedAt), Date.parse(failure.finishedAt), glyphs.attempt, 'red')
    cells[last] = [glyphs.failedAttempt, 'red']
  }
  if (answeredAt !== null) cells[columnOf(axis, answeredAt)] = [glyphs.answer, answerStyle]
  return textOf(cells)
}

/** With one escape sequence for each stretch of a style. */
function textOf(cells: readonly Cell[]): string {
  let text = ''
  for (let at = 0; at < cells.length;) {
    const style = cells[at]?.[1] ?? null
    let stretch = ''
    for (; at < cells.length && cells[at]?.[1] === style; at += 1) stretch += cells[at]?.[0] ?? ''
    text += style === null ? stretch : styled(style, stretch)
  }
  return text
}
