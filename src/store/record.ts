/**
 * The text of a run's record, as both engines keep it: a JSON array with a format number, in which instants are
 * milliseconds since a base of its own and states are numbers, because this text is most of what a run costs on disk.
 */
import { respondModes, firstFailurePolicies, runStateOf, runStates } from '../domain/run.ts'
import { isFinalJob, jobStates, type JobCounts } from '../domain/job.ts'
import type { Job, Run } from '../domain/run/aggregate.ts'
import { taskKinds } from '../domain/task.ts'

/** New members are added at the end, with a default for older records, and never moved: files outlive versions. */
const format = 1

/** Columns of a row besides the record. */
export interface RunColumns {
  readonly id: string
  readonly version: number
}

type Delta = number | null

export function encodeRun(run: Run): string {
  const { answer } = run
  const base = run.jobs[0]?.queuedAt ?? 0
  const members: unknown[] = [
    format,
    base,
    respondModes.indexOf(run.respond),
    firstFailurePolicies.indexOf(run.onFirstFailure),
    run.tags,
    answer === null ? null : [answer.jobIndex, answer.status, since(run.respondedAt, base)],
    since(run.finishedAt, base),
    run.jobs.map((job) => encodeJob(job, base)),
  ]
  // Left out at the end where they are null.
  if (run.traceparent !== null || run.webhook !== null) members.push(run.traceparent)
  if (run.webhook !== null) members.push(run.webhook)
  return JSON.stringify(members)
}

function encodeJob(job: Job, base: number): unknown[] {
  const members: unknown[] = [
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
  ]
  while (members.at(-1) === null) members.pop()
  return members
}

/** @throws Error for a format that a newer version wrote */
export function decodeRun(text: string, { id, version }: RunColumns): Run {
  // `encodeRun` wrote it; only the format can differ.
  const [found, base, respond, onFirstFailure, tags, answer, finishedAt, encoded, traceparent = null, webhook = null] =
    JSON.parse(text) as readonly [
      number,
      number,
      number,
      number,
      readonly string[],
      readonly [jobIndex: number | null, status: number, respondedAt: Delta] | null,
      Delta,
      readonly unknown[][],
      (string | null)?,
      string?,
    ]
  if (found !== format) throw new Error(`the run ${id} has the format ${found}, and this program knows ${format}`)
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
    answer: answer === null ? null : { mode, jobIndex: answer[0], status: answer[1] },
    respondedAt: answer === null ? null : instant(answer[2], base),
    finishedAt: instant(finishedAt, base),
    jobs,
  }
}

function decodeJob(members: readonly unknown[], base: number): Job {
  // In the order of `encodeJob`.
  const [task, kind, state, priority, timeoutMs, maxAttempts, attempt, claim, lostStarts] = members as [
    string,
    ...number[],
  ]
  return {
    task,
    kind: at(taskKinds, kind),
    state: at(jobStates, state),
    priority: priority ?? 0,
    timeoutMs: timeoutMs ?? 0,
    maxAttempts: maxAttempts ?? 0,
    attempt: attempt ?? 0,
    claim: claim ?? 0,
    lostStarts: lostStarts ?? 0,
    leftClaim: (members[18] as number | undefined) ?? 0,
    leftStarts: (members[19] as number | undefined) ?? 0,
    thread: (members[9] as string | undefined) ?? null,
    holder: (members[20] as number | undefined) ?? null,
    queuedAt: base + (members[10] as number),
    runAt: instant(members[11] as Delta, base),
    startedAt: instant(members[12] as Delta, base),
    finishedAt: instant(members[13] as Delta, base),
    input: (members[14] as Job['input'] | undefined) ?? null,
    result: (members[15] as Job['result'] | undefined) ?? null,
    error: (members[16] as Job['error'] | undefined) ?? null,
    failures: (members[17] as Job['failures'] | undefined) ?? [],
    chain: decodeChain(members[21] as EncodedChain | null | undefined),
    expiry: decodeExpiry(members[22] as readonly [afterMs: number, claim: number] | null | undefined),
    secret: (members[23] as Job['secret'] | undefined) ?? null,
    steps: decodeSteps(members[24] as readonly [count: number, bytes: number] | undefined),
  }
}

type EncodedChain = readonly [after: readonly number[], delayMs: number, cancelledBy: number | null]

function decodeChain(members: EncodedChain | null | undefined): Job['chain'] {
  if (members === null || members === undefined) return null
  const [after, delayMs, cancelledBy] = members
  return { after, delayMs, cancelledBy }
}

function decodeExpiry(members: readonly [afterMs: number, claim: number] | null | undefined): Job['expiry'] {
  return members === undefined || members === null ? null : { afterMs: members[0], claim: members[1] }
}

function decodeSteps(members: readonly [count: number, bytes: number] | undefined): Job['steps'] {
  return members === undefined ? null : { count: members[0], bytes: members[1] }
}

/** The number that stands for a run's state in a row. */
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

function at<Value>(values: readonly Value[], index: number | undefined): Value {
  const value = values[index ?? -1]
  if (value === undefined) throw new Error(`a record has the unknown number ${index}`)
  return value
}
