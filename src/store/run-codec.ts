/**
 * The text of a run's record, as both engines keep it: a JSON array that begins with a format number. Instants are
 * milliseconds since a base, and states are numbers, because this text is most of what a run costs on disk.
 */
import { messageOf } from '../domain/errors.ts'
import { respondModes, firstFailurePolicies, runStateOf, runStates } from '../domain/run.ts'
import { isFinalJob, jobStates, type JobCounts } from '../domain/job.ts'
import type { Job, Run } from '../domain/run/aggregate.ts'
import { taskKinds } from '../domain/task.ts'

/**
 * New members go to the end, with a default for older records, and are never moved: files outlive versions. A process of an
 * older version on the same PostgreSQL drops them when it writes the record again: the changelog must say so if that harms.
 */
const format = 1

/** Milliseconds since the base of the record. */
type Delta = number | null

/** Nulls at the end are left out, here and in a job. */
type EncodedRun = [
  format: number,
  base: number,
  respond: number,
  onFirstFailure: number,
  tags: readonly string[],
  answer: readonly [jobIndex: number | null, status: number, respondedAt: Delta] | null,
  finishedAt: Delta,
  jobs: readonly EncodedJob[],
  traceparent?: string | null,
  webhook?: string | null,
]

type EncodedJob = [
  task: string,
  kind: number,
  state: number,
  priority: number,
  timeoutMs: number,
  maxAttempts: number,
  attempt: number,
  claim: number,
  lostStarts: number,
  thread: string | null,
  queuedAt: number,
  runAt?: Delta,
  startedAt?: Delta,
  finishedAt?: Delta,
  input?: Job['input'],
  result?: Job['result'],
  error?: Job['error'],
  failures?: Job['failures'] | null,
  leftClaim?: number | null,
  leftStarts?: number | null,
  holder?: number | null,
  chain?: readonly [after: readonly number[], delayMs: number, cancelledBy: number | null] | null,
  expiry?: readonly [afterMs: number, claim: number] | null,
  secret?: Job['secret'],
  steps?: readonly [count: number, bytes: number] | null,
  lostStart?: readonly [startedAt: number, takenBackAt: number] | null,
]

export function encodeRun(run: Run): string {
  const { answer } = run
  const base = run.jobs[0]?.queuedAt ?? 0
  const members: EncodedRun = [
    format,
    base,
    respondModes.indexOf(run.respond),
    firstFailurePolicies.indexOf(run.onFirstFailure),
    run.tags,
    answer && [answer.jobIndex, answer.status, since(run.respondedAt, base)],
    since(run.finishedAt, base),
    run.jobs.map((job) => encodeJob(job, base)),
    run.traceparent,
    run.webhook,
  ]
  return JSON.stringify(withoutNullsAtEnd(members))
}

function encodeJob(job: Job, base: number): EncodedJob {
  return withoutNullsAtEnd<EncodedJob>([
    job.task,
    taskKinds.indexOf(job.kind),
    jobStates.indexOf(job.state),
    job.priority,
    job.timeoutMs,
    job.maxAttempts,
    job.attempt,
    job.claim,
    job.lostStarts,
    job.thread,
    job.queuedAt - base,
    since(job.runAt, base),
    since(job.startedAt, base),
    since(job.finishedAt, base),
    job.input,
    job.result,
    job.error,
    job.failures.length === 0 ? null : job.failures,
    job.leftClaim === 0 ? null : job.leftClaim,
    job.leftStarts === 0 ? null : job.leftStarts,
    job.holder,
    job.chain && [job.chain.after, job.chain.delayMs, job.chain.cancelledBy],
    job.expiry && [job.expiry.afterMs, job.expiry.claim],
    job.secret,
    job.steps && [job.steps.count, job.steps.bytes],
    job.lostStart && [job.lostStart.startedAt - base, job.lostStart.takenBackAt - base],
  ])
}

function withoutNullsAtEnd<Members extends unknown[]>(members: Members): Members {
  while (members.at(-1) === null) members.pop()
  return members
}

/** This program cannot read the record: a newer version wrote it, or it is damaged. */
export class UnreadableRecord extends Error {
  override readonly name = 'UnreadableRecord'
  readonly runId: string

  constructor(runId: string, cause: unknown) {
    super(`the record of the run ${runId} cannot be read: ${messageOf(cause)}`, { cause })
    this.runId = runId
  }
}

/**
 * @param columns the other columns of the row
 * @throws UnreadableRecord
 */
export function decodeRun(text: string, columns: Pick<Run, 'id' | 'version'>): Run {
  try {
    return decode(text, columns)
  } catch (error) {
    throw new UnreadableRecord(columns.id, error)
  }
}

function decode(text: string, { id, version }: Pick<Run, 'id' | 'version'>): Run {
  // `encodeRun` wrote it, perhaps that of a newer version.
  const [found, base, ...rest] = JSON.parse(text) as EncodedRun
  if (found !== format) throw new Error(`it has the format ${found}, and this program knows ${format}`)
  const [respond, onFirstFailure, tags, answer, finishedAt, encoded, traceparent = null, webhook = null] = rest
  const mode = at(respondModes, respond)
  const jobs = encoded.map((members) => decodeJob(members, base))
  const counts = countJobs(jobs)
  return {
    id,
    state: runStateOf(counts),
    version,
    respond: mode,
    onFirstFailure: at(firstFailurePolicies, onFirstFailure),
    tags,
    traceparent,
    webhook,
    counts,
    answer: answer && { mode, jobIndex: answer[0], status: answer[1] },
    respondedAt: answer && instant(answer[2], base),
    finishedAt: instant(finishedAt, base),
    jobs,
  }
}

function decodeJob(members: EncodedJob, base: number): Job {
  // In the order of `EncodedJob`. The rests are there only to keep the lines short.
  const [task, kind, state, priority, timeoutMs, maxAttempts, attempt, claim, lostStarts, thread, ...rest] = members
  const [queued, runAt, startedAt, finishedAt, input = null, result = null, error = null, failures, ...later] = rest
  const [leftClaim, leftStarts, holder = null, chain, expiry, secret = null, steps, lostStart] = later
  return {
    task,
    kind: at(taskKinds, kind),
    state: at(jobStates, state),
    priority,
    timeoutMs,
    maxAttempts,
    attempt,
    claim,
    lostStarts,
    leftClaim: leftClaim ?? 0,
    leftStarts: leftStarts ?? 0,
    lostStart: lostStart ? { startedAt: base + lostStart[0], takenBackAt: base + lostStart[1] } : null,
    thread,
    holder,
    queuedAt: base + queued,
    runAt: instant(runAt, base),
    startedAt: instant(startedAt, base),
    finishedAt: instant(finishedAt, base),
    input,
    result,
    error,
    failures: failures ?? [],
    chain: chain ? { after: chain[0], delayMs: chain[1], cancelledBy: chain[2] } : null,
    expiry: expiry ? { afterMs: expiry[0], claim: expiry[1] } : null,
    secret,
    steps: steps ? { count: steps[0], bytes: steps[1] } : null,
  }
}

/** The number of the state in a row. */
export function stateNumber(state: Run['state']): number {
  return runStates.indexOf(state)
}

function countJobs(jobs: readonly Job[]): JobCounts {
  let [open, failed, cancelled] = [0, 0, 0]
  for (const { state } of jobs) {
    if (!isFinalJob(state)) open += 1
    else if (state === 'failed') failed += 1
    else if (state === 'cancelled') cancelled += 1
  }
  return { open, failed, cancelled }
}

function since(value: number | null, base: number): Delta {
  return value === null ? null : value - base
}

function instant(delta: Delta | undefined, base: number): number | null {
  return delta === null || delta === undefined ? null : base + delta
}

function at<Value>(values: readonly Value[], index: number): Value {
  const value = values[index]
  if (value === undefined) throw new Error(`a record has the unknown number ${index}`)
  return value
}
