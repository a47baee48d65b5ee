/** A run as lines for people: a line for each job on one axis of time, and the column where the answer left. */
import type { JobView, RunView } from '../client/client.ts'
import type { Context } from './context.ts'
import { clean, columns, cut, type Glyphs, pad, print, printJson, styled, widthOf } from './terminal.ts'
import { answerStyle, axisOf, columnOf, styleOf, trackOf, type Axis } from './timeline.ts'

const [minNameWidth, maxNameWidth] = [8, 24]
const stateWidth = 'completed'.length
const barWidth = 10
/** Room for a bar and its percentage after the track. */
const minDetailWidth = barWidth + 6
const [minTrackWidth, maxTrackWidth] = [10, 60]
/** A detail is cut only if more than this of it remains. Otherwise it is left out. */
const minCutWidth = 10
/** Width of lines for output that is not a terminal. */
const assumedColumns = 120

/** The latest progress of running jobs by their index. */
export type Progress = ReadonlyMap<number, { readonly progress: number; readonly message?: string }>

export interface LinesOptions {
  readonly glyphs: Glyphs
  readonly progress?: Progress
  /** Lines for jobs; the other jobs are counted. */
  readonly maxLines?: number
  /** In epoch milliseconds; default: the current time. */
  readonly now?: number
}

interface Layout {
  readonly indexWidth: number
  readonly nameWidth: number
  /** null: the terminal is too narrow for one. */
  readonly axis: Axis | null
  readonly detailWidth: number
  readonly answeredAt: number | null
  readonly now: number
  readonly progress: Progress
  readonly glyphs: Glyphs
}

export function printRun({ isJson, glyphs }: Pick<Context, 'isJson' | 'glyphs'>, run: RunView): void {
  if (isJson) printJson(run)
  else for (const line of runLines(run, { glyphs })) print(line)
}

export function runLines(
  run: RunView,
  { glyphs, progress = new Map(), maxLines = Infinity, now = Date.now() }: LinesOptions,
): string[] {
  const layout = layoutOf(run, glyphs, progress, now)
  const { shown, others } = chooseJobs(run.jobs, maxLines)
  const lines = [
    headLine(run),
    '',
    ...shown.flatMap((job) => jobLines(job, layout)),
    ...(others === '' ? [] : [styled('dim', `  and ${others}`)]),
    answerLine(run, layout),
    ...deliveryLines(run),
  ]
  return lines.map((line) => fit(line.trimEnd(), glyphs))
}

/** Cuts a line to the width of the terminal: a line that wraps could not be repainted. */
export function fit(line: string, { ellipsis }: Glyphs): string {
  return cut(line, columns() - 1, ellipsis)
}

function layoutOf(run: RunView, glyphs: Glyphs, progress: Progress, now: number): Layout {
  const { jobs, respondedAt } = run
  const indexWidth = String(jobs.length - 1).length
  const maxWidth = Math.min(maxNameWidth, Math.max(minNameWidth, Math.floor(columns() / 4)))
  const nameWidth = Math.min(maxWidth, Math.max(...jobs.map(({ task }) => widthOf(task))))
  const room = Math.min(columns(), assumedColumns) - prefixWidth(indexWidth, nameWidth) - 1
  const trackRoom = room - minDetailWidth - 2
  const trackWidth = Math.min(maxTrackWidth, Math.max(minTrackWidth, Math.floor(trackRoom * 0.75)))
  const axis = trackRoom < minTrackWidth ? null : axisOf(run, now, trackWidth)
  const detailWidth = Number.isFinite(columns()) ? room - (axis === null ? 0 : trackWidth + 2) : Infinity
  const answeredAt = respondedAt === null ? null : Date.parse(respondedAt)
  return { indexWidth, nameWidth, axis, detailWidth, answeredAt, now, progress, glyphs }
}

/** Width of a job's line before its track. */
function prefixWidth(indexWidth: number, nameWidth: number): number {
  return 2 + indexWidth + 2 + nameWidth + 2 + stateWidth + 2
}

const byInterest: readonly JobView['state'][] = [
  'running',
  'retrying',
  'failed',
  'queued',
  'blocked',
  'cancelled',
  'completed',
]

/** Prefers jobs that are under way or went wrong, and counts the others. */
function chooseJobs(jobs: readonly JobView[], maxLines: number) {
  const sorted = jobs.toSorted((one, other) => rankOf(one) - rankOf(other))
  let lines = 0
  const firstLeftOut = sorted.findIndex((job) => {
    lines += reasonOf(job) === null ? 1 : 2
    return lines > maxLines
  })
  const shown = firstLeftOut === -1 ? sorted : sorted.slice(0, firstLeftOut)
  const counts = Object.entries(Object.groupBy(sorted.slice(shown.length), ({ state }) => state))
  return {
    shown: shown.toSorted((one, other) => one.index - other.index),
    others: counts.map(([state, some]) => `${some.length} ${state}`).join(', '),
  }
}

/** Unknown states come last. */
function rankOf({ state }: JobView): number {
  const rank = byInterest.indexOf(state)
  return rank === -1 ? byInterest.length : rank
}

/** Why the job failed, or is tried again. */
function reasonOf({ state, error, failures }: JobView): JobView['error'] {
  if (state === 'failed') return error
  return state === 'retrying' ? (failures?.at(-1)?.error ?? null) : null
}

function headLine({ id, state, tags, createdAt, finishedAt }: RunView): string {
  const took = finishedAt === null ? '' : ` in ${duration(msBetween(createdAt, finishedAt))}`
  const parts = [styled('bold', stateText(state)) + took, id, styled('dim', tags.map(clean).join(', '))]
  return parts.filter((part) => part !== '').join('  ')
}

export function stateText(state: JobView['state']): string {
  return styled(styleOf(state), state)
}

function jobLines(job: JobView, layout: Layout): string[] {
  const { indexWidth, nameWidth, axis, answeredAt, now, glyphs } = layout
  const index = String(job.index).padStart(indexWidth)
  const name = pad(cut(job.task, nameWidth, glyphs.ellipsis), nameWidth)
  const state = pad(stateText(job.state), stateWidth)
  const track = axis === null ? [] : [trackOf(job, axis, answeredAt, now, glyphs)]
  const line = ['', index, name, state, ...track, detailOf(job, layout)].join('  ')
  const reason = reasonOf(job)
  if (reason === null) return [line]
  const indent = ' '.repeat(2 + indexWidth + 2)
  return [line, `${indent}${glyphs.reason} ${styled('red', `${reason.code}: ${clean(reason.message)}`)}`]
}

function detailOf(job: JobView, { detailWidth, now, progress, glyphs }: Layout): string {
  const { index, state, attempt, maxAttempts, thread, startedAt, finishedAt, runAt, waitsFor } = job
  const attempts = attempt > 1 || state === 'retrying' ? styled('dim', `attempt ${attempt} of ${maxAttempts}`) : ''
  const where = styled('dim', thread ?? '')
  const waitMs = runAt === null ? 0 : Date.parse(runAt) - now
  const took =
    startedAt === null ? '' : duration((finishedAt === null ? now : Date.parse(finishedAt)) - Date.parse(startedAt))
  const latest = progress.get(index)
  const share = latest?.progress ?? job.progress
  const parts: Partial<Record<JobView['state'], readonly string[]>> = {
    queued: [waitMs > 0 ? `in ${duration(waitMs)}` : waitText(job)],
    blocked: [`waits for ${waitsFor.join(', ')}`],
    retrying: [waitMs > 0 ? `again in ${duration(waitMs)}` : '', attempts],
    running: [share === null ? took : barOf(share, glyphs), clean(latest?.message ?? ''), attempts, where],
    cancelled: [took],
  }
  return joinFitting(parts[state] ?? [took, attempts, where], detailWidth, glyphs)
}

/** Why a due job does not start; empty if it only waits its turn. */
function waitText({ waiting }: JobView): string {
  if (waiting?.reason === 'rate') {
    return `${waiting.limit} of its task start in ${duration(waiting.perMs ?? 0)}, and no more may`
  }
  if (waiting?.reason === 'limit') return `${waiting.limit} of its task run, and no more may`
  if (waiting?.reason === 'paused') return 'its task is paused'
  return waiting?.reason === 'unknown-task' ? 'no process here has its task' : ''
}

/** Joins the parts that fit; the last one is cut if enough of it remains. */
function joinFitting(parts: readonly string[], width: number, { ellipsis }: Glyphs): string {
  let text = ''
  for (const part of parts.filter((each) => each !== '')) {
    const longer = text === '' ? part : `${text}  ${part}`
    if (widthOf(longer) > width) {
      const isCut = part.length > minCutWidth && width - widthOf(text) > minCutWidth
      return isCut ? cut(longer, width, ellipsis) : text
    }
    text = longer
  }
  return text
}

/** The text stands below the track, at the column where the answer left. */
function answerLine({ answer, createdAt, respondedAt, finishedAt }: RunView, layout: Layout): string {
  const { indexWidth, nameWidth, axis, glyphs } = layout
  if (answer === null || respondedAt === null) {
    return styled('dim', finishedAt === null ? '  no answer yet' : '  no caller waited for an answer')
  }
  const by = answer.jobIndex === null ? 'all jobs' : `job ${answer.jobIndex}`
  const mode = answer.mode === 'first' ? '' : ` (${answer.mode})`
  const text = `answered after ${duration(msBetween(createdAt, respondedAt))} by ${by}${mode}`
  if (axis === null) return `  ${styled(answerStyle, text)}`
  const column = prefixWidth(indexWidth, nameWidth) + columnOf(axis, Date.parse(respondedAt))
  if (column + text.length + 2 < Math.min(columns(), assumedColumns)) {
    return `${' '.repeat(column)}${styled(answerStyle, `${glyphs.answerCornerRight} ${text}`)}`
  }
  return `${' '.repeat(Math.max(0, column - text.length - 1))}${styled(answerStyle, `${text} ${glyphs.answerCornerLeft}`)}`
}

function deliveryLines({ deliveries = [] }: RunView): string[] {
  return deliveries.map(({ id, url, state, attempts, lastStatus, nextAt }) => {
    const tries = `${attempts} ${attempts === 1 ? 'try' : 'tries'}`
    const last = attempts === 0 ? '' : `, ${lastStatus === null ? 'no response' : `status ${lastStatus}`}`
    const next = nextAt === null ? '' : `, next at ${nextAt}`
    return styled('dim', `  webhook ${state} after ${tries}${last}${next}: ${clean(url)} (${id})`)
  })
}

function barOf(share: number, { barFull, barEmpty }: Glyphs): string {
  const filled = Math.round(share * barWidth)
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %`
  return `${styled('cyan', barFull.repeat(filled))}${styled('dim', barEmpty.repeat(barWidth - filled))} ${percent}`
}

function msBetween(from: string, to: string): number {
  return Date.parse(to) - Date.parse(from)
}

/** Such as `240 ms`, `1.5 s`, `1 min 1 s` or `2 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`
  const minutes = Math.floor(ms / 60_000)
  const [large, rest, unit] =
    minutes < 60
      ? [`${minutes} min`, Math.floor(ms / 1_000) % 60, 's']
      : [`${Math.floor(minutes / 60)} h`, minutes % 60, 'min']
  return rest === 0 ? large : `${large} ${rest} ${unit}`
}

/** Such as `2 d ago`, in one unit, for lists. */
export function age(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const
  const [unitMs, unit] = units.find(([each]) => ms >= each) ?? [1_000, 's']
  return `${Math.max(0, Math.floor(ms / unitMs))} ${unit} ago`
}
