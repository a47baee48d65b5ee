/** The segments of a job's lane, in milliseconds since the run was accepted. Pure. */
import type { JobView, RunView } from 'forerunner/client'
import { durationOf } from '../time/format.ts'

export type SegmentKind = 'waiting' | 'running' | 'completed' | 'failed' | 'cancelled' | 'backoff' | 'lost'

export interface Segment {
  readonly kind: SegmentKind
  readonly from: number
  /** null: still in progress. */
  readonly to: number | null
  /** Number of the attempt; null if none was running. */
  readonly attempt: number | null
}

type FailedAttempt = NonNullable<JobView['failedAttempts']>[number] & { readonly error?: { readonly code: string } }

/** An attempt that did not complete. */
interface Ended {
  readonly kind: 'failed' | 'cancelled' | 'lost'
  readonly startedAt: string
  readonly finishedAt: string
  readonly attempt: number | null
}

/** A shorter segment is not shown, such as the wait of a job that was started by the commit itself. */
const leastWaitMs = 1

export function isFinal(state: string): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

/** @param start of the run, in epoch milliseconds */
export function segmentsOf(job: JobView, start: number): Segment[] {
  const at = (instant: string): number => Math.max(0, Date.parse(instant) - start)
  const segments: Segment[] = []
  /** End of the previous segment; null before the first. */
  let cursor: number | null = null
  let isAfterLost = false
  const queuedAt = at(job.queuedAt)

  const wait = (to: number | null): void => {
    if (cursor === null) {
      if (to === null || to - queuedAt > leastWaitMs)
        segments.push({ kind: 'waiting', from: queuedAt, to, attempt: null })
    } else if (to === null || to - cursor > leastWaitMs) {
      // A job that was queued again on request waits since then; before that it did nothing.
      const isAgain = queuedAt >= cursor
      // After a lost start the job is queued at once.
      segments.push({
        kind: isAgain || isAfterLost ? 'waiting' : 'backoff',
        from: isAgain ? queuedAt : cursor,
        to,
        attempt: null,
      })
    }
  }

  for (const { kind, startedAt, finishedAt, attempt } of endedOf(job)) {
    const [from, to] = [at(startedAt), at(finishedAt)]
    if (cursor === null && queuedAt > from) cursor = from
    wait(from)
    segments.push({ kind, from, to, attempt })
    cursor = to
    isAfterLost = kind === 'lost'
  }
  const last = lastAttemptOf(job, at, failedAttemptsOf(job).length)
  if (last !== null && (cursor === null || last.from >= cursor)) {
    wait(last.from)
    segments.push(last)
  } else if (!isFinal(job.state) && job.state !== 'running') wait(null)
  else if (cursor === null && job.finishedAt !== null) wait(at(job.finishedAt))
  return segments
}

function endedOf(job: JobView): Ended[] {
  const { lostStart: lost, startedAt } = job
  const ended: Ended[] = failedAttemptsOf(job).map((failure, index) => ({
    kind: failure.error?.code === 'cancelled' ? 'cancelled' : 'failed',
    startedAt: failure.startedAt,
    finishedAt: failure.finishedAt,
    attempt: index + 1,
  }))
  // The last lost start that is allowed counts as the failed attempt.
  if (lost === undefined || lost.startedAt === startedAt) return ended
  ended.push({ kind: 'lost', startedAt: lost.startedAt, finishedAt: lost.takenBackAt, attempt: null })
  return ended.toSorted((one, other) => Date.parse(one.startedAt) - Date.parse(other.startedAt))
}

/** Lists contain only when the attempts ran. */
function failedAttemptsOf({ failures, failedAttempts = [] }: JobView): readonly FailedAttempt[] {
  return failures ?? failedAttempts
}

/** The attempt that is not among the failures: a running or completed one, or one whose failure was omitted. */
function lastAttemptOf(job: JobView, at: (instant: string) => number, failures: number): Segment | null {
  const { state, startedAt, finishedAt } = job
  if (startedAt === null || state === 'queued' || state === 'retrying') return null
  const isListed = failedAttemptsOf(job).some((failure) => failure.startedAt === startedAt)
  if (isListed && isFinal(state)) return null
  const kind = state === 'running' || state === 'completed' || state === 'failed' ? state : 'cancelled'
  return { kind, from: at(startedAt), to: finishedAt === null ? null : at(finishedAt), attempt: failures + 1 }
}

/** Follows the number of attempts; empty if no start was lost. */
export function lostStartText(segments: readonly Segment[]): string {
  const lost = segments.find(({ kind }) => kind === 'lost')
  return lost === undefined ? '' : `, a start at ${durationOf(lost.from)} was lost with its process`
}

export interface Work {
  /** Total duration of all attempts, in milliseconds. */
  readonly totalMs: number
  /** The part of it after the answer; null if no answer was sent. */
  readonly afterMs: number | null
}

/** @param now the service's time, in epoch milliseconds */
export function workOf(run: RunView, now: number): Work {
  const start = Date.parse(run.createdAt)
  const answer = run.respondedAt === null ? null : Date.parse(run.respondedAt) - start
  let totalMs = 0
  let afterMs = 0
  for (const { from, to, attempt } of run.jobs.flatMap((job) => segmentsOf(job, start))) {
    if (attempt === null) continue
    const end = to ?? now - start
    totalMs += Math.max(0, end - from)
    if (answer !== null) afterMs += Math.max(0, end - Math.max(from, answer))
  }
  return { totalMs, afterMs: answer === null ? null : afterMs }
}

/** When the last event happened, in milliseconds since the run was accepted. @param now as for `workOf` */
export function endOf(run: RunView, now: number): number {
  const start = Date.parse(run.createdAt)
  if (run.state === 'running') return Math.max(1, now - start)
  const ends = [run.finishedAt, run.respondedAt, ...run.jobs.map((job) => job.finishedAt)]
  return Math.max(1, ...ends.map((instant) => (instant === null ? 0 : Date.parse(instant) - start)))
}
