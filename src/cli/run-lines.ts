/** A run as lines for people: a line for each job, on one axis of time, and where on it the answer left. */
import type { JobView, RunView } from '../client/client.ts'
import { clean, columns, cut, type Glyphs, pad, styled, widthOf } from './terminal.ts'
import { answerStyle, axisOf, columnOf, stateStyles, trackOf, type Axis } from './timeline.ts'

const [minNameWidth, maxNameWidth] = [8, 24]
const stateWidth = 'completed'.length
const barWidth = 10
/** Of what is said behind the track: a bar and its percentage. */
const minDetailWidth = barWidth + 6
const [minTrackWidth, maxTrackWidth] = [10, 60]
const minCutWidth = 10
/** What is not a terminal has no width. */
const assumedColumns = 120

/** What a running job has said of itself, by its index. */
export type Progress = ReadonlyMap<number, { readonly progress: number; readonly message?: string }>

export interface LinesOptions {
  readonly glyphs: Glyphs
  readonly progress?: Progress
  /** For jobs; those that do not fit are counted. */
  readonly maxLines?: number
  /** In epoch milliseconds; default: the clock's. */
  readonly now?: number
}

interface Layout {
  readonly indexWidth: number
  readonly nameWidth: number
  /** null where the terminal is too narrow for one. */
  readonly axis: Axis | null
  readonly detailWidth: number
  readonly answeredAt: number | null
  readonly now: number
  readonly progress: Progress
  readonly glyphs: Glyphs
}

export function stateText(state: JobView['state']): string {
  return styled(state in stateStyles ? stateStyles[state] : 'dim', state)
}

export function runLines(
  run: RunView,
  { glyphs, progress = new Map(), maxLines = Infinity, now = Date.now() }: LinesOptions,
): string[] {
  const layout = layoutOf(run, glyphs, progress, now)
  const { shown, others } = choose(run.jobs, maxLines)
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

/** A line that the terminal would break could not be painted over. */
export function fit(line: string, { ellipsis }: Glyphs): string {
  return cut(line, columns() - 1, ellipsis)
}

function layoutOf({ jobs, respondedAt, ...run }: RunView, glyphs: Glyphs, progress: Progress, now: number): Layout {
  const indexWidth = String(jobs.length - 1).length
  const maxWidth = Math.min(maxNameWidth, Math.max(minNameWidth, Math.floor(columns() / 4)))
  const nameWidth = Math.min(maxWidth, Math.max(...jobs.map(({ task }) => widthOf(task))))
  const room = Math.min(columns(), assumedColumns) - prefixWidth(indexWidth, nameWidth) - 1
  const left = room - minDetailWidth - 2
  const width = Math.min(maxTrackWidth, Math.max(minTrackWidth, Math.floor(left * 0.75)))
  const axis = left < minTrackWidth ? null : axisOf({ jobs, respondedAt, ...run }, now, width)
  const detailWidth = Number.isFinite(columns()) ? room - (axis === null ? 0 : width + 2) : Infinity
  const answeredAt = respondedAt === null ? null : Date.parse(respondedAt)
  return { indexWidth, nameWidth, axis, detailWidth, answeredAt, now, progress, glyphs }
}

function prefixWidth(indexWidth: number, nameWidth: number): number {
  return 2 + indexWidth + 2 + nameWidth + 2 + stateWidth + 2
}

/** As many as have room: first those that go on or went wrong. */
function choose(jobs: readonly JobView[], maxLines: number): { readonly shown: JobView[]; readonly others: string } {
  const byInterest = ['running', 'retrying', 'failed', 'queued', 'blocked', 'cancelled', 'completed']
  const rank = ({ state }: JobView): number => (byInterest.indexOf(state) + byInterest.length) % byInterest.length
  const sorted = jobs.toSorted((one, other) => rank(one) - rank(other))
  let lines = 0
  const rest = sorted.findIndex((job) => (lines += reasonOf(job) === undefined ? 1 : 2) > maxLines)
  const shown = rest === -1 ? sorted : sorted.slice(0, rest)
  const counts = Object.entries(Object.groupBy(sorted.slice(shown.length), ({ state }) => state))
  return {
    shown: shown.toSorted((one, other) => one.index - other.index),
    others: counts.map(([state, some]) => `${some.length} ${state}`).join(', '),
  }
}

/** Why it failed, or why it has to try again. */
function reasonOf({ state, error, failures }: JobView): NonNullable<JobView['error']> | undefined {
  if (state === 'failed') return error ?? undefined
  return state === 'retrying' ? failures?.at(-1)?.error : undefined
}

function headLine({ id, state, tags, createdAt, finishedAt }: RunView): string {
  const took = finishedAt === null ? '' : ` in ${duration(Date.parse(finishedAt) - Date.parse(createdAt))}`
  const parts = [styled('bold', stateText(state)) + took, id, styled('dim', tags.map(clean).join(', '))]
  return parts.filter((part) => part !== '').join('  ')
}

function jobLines(job: JobView, layout: Layout): string[] {
  const { indexWidth, nameWidth, axis, answeredAt, now, glyphs } = layout
  const { index, task, state } = job
  const name = pad(cut(task, nameWidth, glyphs.ellipsis), nameWidth)
  const track = axis === null ? '' : `${trackOf(job, axis, answeredAt, now, glyphs)}  `
  const line = `  ${String(index).padStart(indexWidth)}  ${name}  ${pad(stateText(state), stateWidth)}  ${track}${detailOf(job, layout)}`
  const reason = reasonOf(job)
  if (reason === undefined) return [line]
  const indent = ' '.repeat(2 + indexWidth + 2)
  return [line, `${indent}${glyphs.because} ${styled('red', `${reason.code}: ${clean(reason.message)}`)}`]
}

function detailOf(job: JobView, { detailWidth, now, progress, glyphs }: Layout): string {
  const { index, state, attempt, maxAttempts, thread, startedAt, finishedAt, runAt, waitsFor } = job
  const attempts = attempt > 1 || state === 'retrying' ? styled('dim', `attempt ${attempt} of ${maxAttempts}`) : ''
  const where = styled('dim', thread ?? '')
  const wait = runAt === null ? 0 : Date.parse(runAt) - now
  const due = wait > 0 ? `again in ${duration(wait)}` : ''
  const took =
    startedAt === null ? '' : duration((finishedAt === null ? now : Date.parse(finishedAt)) - Date.parse(startedAt))
  const told = state === 'running' ? progress.get(index) : undefined
  const share = told?.progress ?? job.progress
  const bar = state === 'running' && share !== null ? barOf(share, glyphs) : ''
  const message = told?.message === undefined ? '' : clean(told.message)
  const parts: Partial<Record<JobView['state'], readonly string[]>> = {
    queued: [wait > 0 ? `in ${duration(wait)}` : whyText(job)],
    blocked: [`waits for ${waitsFor.join(', ')}`],
    retrying: [due, attempts],
    running: [bar === '' ? took : bar, message, attempts, where],
    cancelled: [startedAt === null ? '' : took],
  }
  return fitting(parts[state] ?? [took, attempts, where], detailWidth, glyphs)
}

/** Why a job that is due does not run, where that is worth a word. */
function whyText({ waiting }: JobView): string {
  if (waiting?.reason === 'rate')
    return `${waiting.limit} of its task start in ${duration(waiting.perMs ?? 0)}, and no more may`
  if (waiting?.reason === 'paused') return 'its task is paused'
  if (waiting?.reason === 'unknown-task') return 'no process here has its task'
  return waiting?.reason === 'limit' ? `${waiting.limit} of its task run, and no more may` : ''
}

/** As many as fit; the last of them is cut where something of it can be read. */
function fitting(parts: readonly string[], width: number, { ellipsis }: Glyphs): string {
  let text = ''
  for (const part of parts.filter((each) => each !== '')) {
    const separated = text === '' ? part : `${text}  ${part}`
    if (widthOf(separated) > width) {
      return part.length > minCutWidth && width - widthOf(text) > minCutWidth ? cut(separated, width, ellipsis) : text
    }
    text = separated
  }
  return text
}

/** Below the track, at the place where the answer left. */
function answerLine(
  { answer, createdAt, respondedAt, finishedAt }: RunView,
  { indexWidth, nameWidth, axis, glyphs }: Layout,
): string {
  if (answer === null || respondedAt === null) {
    return styled('dim', finishedAt === null ? '  no answer yet' : '  no caller waited for an answer')
  }
  const by = answer.jobIndex === null ? 'all jobs' : `job ${answer.jobIndex}`
  const text = `answered after ${duration(Date.parse(respondedAt) - Date.parse(createdAt))} by ${by}${answer.mode === 'first' ? '' : ` (${answer.mode})`}`
  if (axis === null) return `  ${styled(answerStyle, text)}`
  const at = prefixWidth(indexWidth, nameWidth) + columnOf(axis, Date.parse(respondedAt))
  const [toTheRight, toTheLeft] = glyphs.answerFoot
  if (at + text.length + 2 < Math.min(columns(), assumedColumns)) {
    return `${' '.repeat(at)}${styled(answerStyle, `${toTheRight} ${text}`)}`
  }
  return `${' '.repeat(Math.max(0, at - text.length - 1))}${styled(answerStyle, `${text} ${toTheLeft}`)}`
}

function deliveryLines({ deliveries = [] }: RunView): string[] {
  return deliveries.map(({ id, url, state, attempts, lastStatus, nextAt }) => {
    const tries = `${attempts} ${attempts === 1 ? 'try' : 'tries'}`
    const last = attempts === 0 ? '' : `, ${lastStatus === null ? 'no answer' : `answered ${lastStatus}`}`
    const next = nextAt === null ? '' : `, next at ${nextAt}`
    return styled('dim', `  webhook ${state} after ${tries}${last}${next}: ${clean(url)} (${id})`)
  })
}

function barOf(share: number, { full, empty }: Glyphs): string {
  const filled = Math.round(share * barWidth)
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %`
  return `${styled('cyan', full.repeat(filled))}${styled('dim', empty.repeat(barWidth - filled))} ${percent}`
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`
  const seconds = Math.floor(ms / 1_000)
  const minutes = Math.floor(seconds / 60)
  const [many, few] =
    minutes < 60 ? [`${minutes} min`, ` ${seconds % 60} s`] : [`${Math.floor(minutes / 60)} h`, ` ${minutes % 60} min`]
  return few.startsWith(' 0 ') ? many : many + few
}

/** For people who look at a list. */
export function age(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const
  const [unitMs, unit] = units.find(([each]) => ms >= each) ?? [1_000, 's']
  return `${Math.max(0, Math.floor(ms / unitMs))} ${unit} ago`
}
