/** A job as a row of columns: when it waited, when its attempts ran, and when the answer left. */
import type { JobView, RunView } from '../client/client.ts'
import { type Glyphs, type Style, styled } from './terminal.ts'

type Cell = readonly [character: string, style: Style | null]

/** The stretch of time that the columns show, in epoch milliseconds. */
export interface Axis {
  readonly from: number
  readonly to: number
  readonly width: number
}

const stateStyles: Readonly<Record<JobView['state'], Style>> = {
  queued: 'dim',
  retrying: 'yellow',
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  cancelled: 'yellow',
  blocked: 'dim',
}

/** A newer service may have states that this command does not know. */
export function styleOf(state: JobView['state']): Style {
  return Object.hasOwn(stateStyles, state) ? stateStyles[state] : 'dim'
}

/** Nothing else has this style. */
export const answerStyle: Style = 'magenta'

/** The axis of a running run has a round length, so that the bars do not move at each change. */
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

/** @param now the end of what is still under way */
export function trackOf(job: JobView, axis: Axis, answeredAt: number | null, now: number, glyphs: Glyphs): string {
  const cells: Cell[] = Array.from({ length: axis.width }, () => [' ', null])
  const fill = (from: string, to: string | null, character: string, style: Style): number => {
    const last = columnOf(axis, to === null ? now : Date.parse(to))
    for (let at = columnOf(axis, Date.parse(from)); at <= last; at += 1) cells[at] = [character, style]
    return last
  }
  const { queuedAt, startedAt, finishedAt, failures = [], lostStart, state } = job
  fill(queuedAt, finishedAt, glyphs.wait, 'dim')
  const hasAttempt = state !== 'queued' && state !== 'retrying' && startedAt !== null
  if (hasAttempt) fill(startedAt, finishedAt, glyphs.attempt, styleOf(state))
  // The last start of a job that has failed because of lost starts is drawn already, as its failed attempt.
  if (lostStart !== undefined && lostStart.startedAt !== startedAt) {
    const last = fill(lostStart.startedAt, lostStart.takenBackAt, glyphs.attempt, 'dim')
    cells[last] = [glyphs.lostStart, 'yellow']
  }
  for (const failure of failures) {
    const last = fill(failure.startedAt, failure.finishedAt, glyphs.attempt, 'red')
    cells[last] = [glyphs.failedAttempt, 'red']
  }
  if (answeredAt !== null) cells[columnOf(axis, answeredAt)] = [glyphs.answer, answerStyle]
  return textOf(cells)
}

/** One escape sequence for each stretch of cells with the same style. */
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
