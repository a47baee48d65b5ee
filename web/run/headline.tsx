/** A summary of a run in one sentence. Only the time of the answer has the accent colour. */
import type { RunView } from 'forerunner/client'
import { countOf, durationOf, shareOf } from '../time/format.ts'
import { isFinal, workOf } from './segments.ts'

export function Headline({ run, now }: { readonly run: RunView; readonly now: number }) {
  const { totalMs, afterMs } = workOf(run, now)
  if (run.respondedAt === null) return <h1>{withoutAnswer(run, totalMs, now)}</h1>
  const answeredMs = Date.parse(run.respondedAt) - Date.parse(run.createdAt)
  const decided = run.answer?.jobIndex ?? null
  const isError = decided === null ? run.state === 'failed' : run.jobs[decided]?.state !== 'completed'
  const isRace = run.answer?.mode === 'race' || run.answer?.mode === 'any'
  const hasMore = (afterMs ?? 0) >= 1
  return (
    <h1>
      {isError ? 'Answered with an error after ' : 'Answered after '}
      <em>{durationOf(answeredMs)}</em>
      {isRace && decided !== null && ` by job ${decided}, which won the race`}
      {hasMore
        ? `; ${durationOf(totalMs)} of work, ${shareOf(afterMs ?? 0, totalMs)} of it after the answer.`
        : `; ${durationOf(totalMs)} of work, all of it before the answer.`}
    </h1>
  )
}

function withoutAnswer(run: RunView, totalMs: number, now: number): string {
  const open = run.jobs.filter(({ state }) => !isFinal(state)).length
  const age = durationOf(now - Date.parse(run.createdAt))
  if (open === 0) return `Nobody waited for an answer; ${durationOf(totalMs)} of work.`
  return `No answer after ${age}; ${countOf(open, 'job')} to go, ${durationOf(totalMs)} of work so far.`
}
