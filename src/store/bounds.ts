/** How much of runs is read at once: the rest can be read job by job, so that no reader has all of it in memory. */
import type { JobError, JobRecord } from '../domain/job.ts'
import { jobColumns, jobRecord, type JobRow, type RunRow } from './rows.ts'

/** Results, failures and errors of one run, in bytes. */
export const maxRunBytes = 65_536
/** Jobs of the runs in one page of a list. */
export const maxPageJobs = 2_500
/** Characters of the message of an error whose details are left out. */
const maxMessageLength = 500

/** The columns that `listedJob` takes. */
export const listedColumns = jobColumns.replace(/,\s*failures$/, '')

/** The columns that `boundedJobs` takes, of `job`. */
export const boundedColumns = [
  ...listedColumns.split(',').map((name) => `job.${name.trim()}`),
  `CASE WHEN octet_length(job.failures) <= ${maxRunBytes} THEN job.failures ELSE '[]' END AS failures`,
  'octet_length(job.failures) AS failures_bytes',
  `CASE WHEN octet_length(job.result) <= ${maxRunBytes} THEN job.result END AS result`,
  'octet_length(job.result) AS result_bytes',
].join(', ')

/** As many of these runs as one page holds, at least one. */
export function firstOf(runs: readonly RunRow[]): RunRow[] {
  let jobs = 0
  return runs.filter(({ total_jobs: ofRun }) => {
    jobs += ofRun
    return jobs - ofRun < maxPageJobs
  })
}

/** The jobs of a run, in their order: whole as long as there is room, and then without what is large. */
export function boundedJobs(rows: readonly JobRow[]): JobRecord[] {
  let room = maxRunBytes
  return rows.map((row) => {
    const resultBytes = row.result_bytes === undefined ? bytesOf(row.result) : row.result_bytes
    const bytes = (resultBytes ?? 0) + (row.failures_bytes ?? bytesOf(row.failures) ?? 0) + (bytesOf(row.error) ?? 0)
    if (bytes > room) return { ...listedJob(row), omitted: { resultBytes } }
    room -= bytes
    return jobRecord(row)
  })
}

/** A job as lists have it. */
export function listedJob(row: JobRow): JobRecord {
  const { error, ...job } = jobRecord({ ...row, result: null, failures: '[]' })
  return { ...job, error: error && withoutDetails(error) }
}

/** The error as lists have it. */
export function withoutDetails({ code, message, name, taskCode, status, exitCode }: JobError): JobError {
  return {
    code,
    message: cut(message),
    ...(name !== undefined && { name: cut(name) }),
    ...(taskCode !== undefined && { taskCode: typeof taskCode === 'string' ? cut(taskCode) : taskCode }),
    ...(status !== undefined && { status }),
    ...(exitCode !== undefined && { exitCode }),
  }
}

function cut(text: string): string {
  return text.length <= maxMessageLength ? text : `${text.slice(0, maxMessageLength).toWellFormed()}…`
}

function bytesOf(text: string | null): number | null {
  return text === null ? null : Buffer.byteLength(text)
}
