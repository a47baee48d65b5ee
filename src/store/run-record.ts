/** Makes the records that readers get of a stored run: whole up to a bound, and beyond it without large texts. */
import type { DeliveryRecord } from '../domain/webhook.ts'
import { instantOf } from '../domain/ids.ts'
import type { FailedAttempt, JobError, JobFailure, JobInput, JobRecord, StepRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import { type Apart, failedAttemptOf, type Job, jobAt, missingOf, type Run } from '../domain/run/aggregate.ts'
import { isApart } from './apart.ts'

/** Bytes of results, failures, errors and steps of one run that are read at once; readers read the rest job by job. */
const maxRunBytes = 65_536
/** What a step counts in that: the steps of one job always fit. */
const bytesPerStep = 64
/** Jobs of the runs in one page of a list. */
export const maxPageJobs = 2_500
/** Jobs of one task and priority that are counted ahead of another job at most. */
export const maxCountedAhead = 1_000
/** Failed attempts of one job in a list. */
const maxListedAttempts = 8
/** Characters of the message of an error whose details are left out. */
const maxMessageLength = 500

/** Reads a text that is kept outside the record. */
export type TextOf = (jobIndex: number, apart: Apart) => string

/** Reads what is kept outside the record. */
export interface Outside {
  readonly textOf: TextOf
  /** The first `count` steps of a job that has any. */
  stepsOf(jobIndex: number, count: number): readonly StepRecord[]
}

/** @param deliveries of the run, where it has a webhook */
export function runRecord(run: Run, outside: Outside, deliveries: readonly DeliveryRecord[] = []): RunRecord {
  let bytesLeft = maxRunBytes
  const record = recordOf(run, (job, index) => {
    const resultBytes = bytesOf(job.result)
    const stepBytes = (job.steps?.count ?? 0) * bytesPerStep
    const bytes = sum([resultBytes, bytesOf(job.error), ...job.failures.map(bytesOf)]) + stepBytes
    if (bytes > bytesLeft) return { ...listedJob(run, index, outside.textOf), omitted: { resultBytes } }
    bytesLeft -= bytes
    return jobRecord(run, index, outside)
  })
  return run.webhook === null ? record : { ...record, webhook: run.webhook, deliveries }
}

export function listedRun(run: Run, textOf: TextOf): RunRecord {
  return recordOf(run, (_job, index) => listedJob(run, index, textOf))
}

function recordOf(run: Run, jobOf: (job: Job, index: number) => JobRecord): RunRecord {
  const { id, state, version, respond, tags, answer, respondedAt, finishedAt } = run
  const createdAt = instantOf(id)
  return { id, state, version, respond, tags, answer, createdAt, respondedAt, finishedAt, jobs: run.jobs.map(jobOf) }
}

export function jobRecord(run: Run, index: number, { textOf, stepsOf }: Outside): JobRecord {
  const { result, failures, steps } = jobAt(run, index)
  return {
    ...bareJob(run, index),
    result: isApart(result) ? textOf(index, result) : result,
    error: errorOf(run, index, textOf),
    // The record says what each text is.
    failures: failures.map((failure) =>
      isApart(failure) ? (JSON.parse(textOf(index, failure)) as JobFailure) : failure,
    ),
    ...(steps !== null && { steps: stepsOf(index, steps.count) }),
  }
}

export function jobInput(run: Run, index: number, textOf: TextOf): JobInput {
  const { input, secret } = jobAt(run, index)
  return { input: isApart(input) ? textOf(index, input) : input, ...(secret !== null && { secret }) }
}

/** The job in a list, without result and failures. */
function listedJob(run: Run, index: number, textOf: TextOf): JobRecord {
  const error = errorOf(run, index, textOf)
  const failedAttempts = failedAttemptsOf(jobAt(run, index))
  return {
    ...bareJob(run, index),
    error: error && withoutDetails(error),
    ...(failedAttempts.length > 0 && { failedAttempts }),
  }
}

function failedAttemptsOf({ failures }: Job): FailedAttempt[] {
  return failures.slice(-maxListedAttempts).flatMap((failure) => failedAttemptOf(failure) ?? [])
}

function errorOf(run: Run, index: number, textOf: TextOf): JobError | null {
  const { error } = jobAt(run, index)
  return isApart(error) ? (JSON.parse(textOf(index, error)) as JobError) : error
}

/** The error in a list. */
function withoutDetails({ code, message, name, taskCode, status, exitCode }: JobError): JobError {
  return {
    code,
    message: shorten(message),
    ...(name !== undefined && { name: shorten(name) }),
    ...(taskCode !== undefined && { taskCode: typeof taskCode === 'string' ? shorten(taskCode) : taskCode }),
    ...(status !== undefined && { status }),
    ...(exitCode !== undefined && { exitCode }),
  }
}

function shorten(text: string): string {
  return text.length <= maxMessageLength ? text : `${text.slice(0, maxMessageLength).toWellFormed()}…`
}

function bareJob(run: Run, index: number): JobRecord {
  const job = jobAt(run, index)
  return {
    index,
    task: job.task,
    state: job.state,
    thread: job.thread,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts,
    queuedAt: job.queuedAt,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    runAt: job.runAt,
    ...(job.lostStart !== null && { lostStart: job.lostStart }),
    ...(job.chain !== null && { after: job.chain.after }),
    ...(job.secret !== null && { secret: job.secret }),
    ...(job.state === 'blocked' && job.chain !== null && { waitsFor: missingOf(run, job.chain) }),
    result: null,
    error: null,
    failures: [],
  }
}

function bytesOf(value: string | object | null): number | null {
  if (value === null) return null
  if (isApart(value)) return value.bytes
  return Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value))
}

function sum(values: readonly (number | null)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0)
}
