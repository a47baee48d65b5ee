/** A run as lines for people. */
import type { JobView, RunView } from '../client/client.ts'
import { clean, columns, styled } from './terminal.ts'

type State = JobView['state']

const styles = {
  queued: 'dim',
  retrying: 'yellow',
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  cancelled: 'yellow',
} as const satisfies Record<State, string>

const barWidth = 20

export function stateText(state: State): string {
  return styled(state in styles ? styles[state] : 'dim', state)
}

/** What a running job has said of itself, by its index. */
export type Progress = ReadonlyMap<number, { readonly progress: number; readonly message?: string }>

export function runLines(run: RunView, progress: Progress = new Map()): string[] {
  const tags = run.tags.length === 0 ? '' : `  ${run.tags.map(clean).join(', ')}`
  const width = Math.max(...run.jobs.map(({ task }) => task.length))
  return [
    `${run.id}  ${stateText(run.state)}${tags}`,
    answerLine(run),
    ...run.jobs.map((job) => jobLine(job, width, progress)),
  ].map(fit)
}

function answerLine({ answer, createdAt, respondedAt }: RunView): string {
  if (answer === null || respondedAt === null) return '  no answer yet'
  const by = answer.jobIndex === null ? 'all jobs' : `job ${answer.jobIndex}`
  return `  answered after ${duration(createdAt, respondedAt)} by ${by} (${answer.mode})`
}

function jobLine(job: JobView, width: number, progress: Progress): string {
  const { index, task, state, attempt, maxAttempts, thread, startedAt, finishedAt, error } = job
  const attempts = attempt > 1 || state === 'retrying' ? `attempt ${attempt} of ${maxAttempts}` : ''
  const took = startedAt !== null && finishedAt !== null ? duration(startedAt, finishedAt) : ''
  const told = state === 'running' ? progress.get(index) : undefined
  const share = told?.progress ?? job.progress
  const bar = state === 'running' && share !== null ? barOf(share) : ''
  const why = error === null ? '' : styled('red', `${error.code}: ${clean(error.message)}`)
  const parts = [bar, told?.message === undefined ? '' : clean(told.message), took, thread ?? '', attempts, why]
  const padding = ' '.repeat(Math.max(0, 'completed'.length - state.length))
  return `  ${index}  ${task.padEnd(width)}  ${stateText(state)}${padding}  ${parts.filter((part) => part !== '').join('  ')}`
}

function barOf(share: number): string {
  const full = Math.round(share * barWidth)
  return `${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${String(Math.round(share * 100)).padStart(3)} %`
}

export function duration(from: string, to: string): string {
  const ms = Date.parse(to) - Date.parse(from)
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`
}

/** A line that the terminal would break could not be painted over. Escape sequences have no width. */
function fit(line: string): string {
  let left = columns() - 1
  return line.replaceAll(/(?<escape>\p{Cc}\[[\d;]*m)|\P{Cc}+/gu, (part: string, escape?: string) => {
    if (escape !== undefined) return escape
    const shown = part.slice(0, left)
    left -= shown.length
    return shown
  })
}
