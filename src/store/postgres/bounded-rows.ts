/** Rows of jobs, whole as long as there is room for what is large in them. */
import type { JobRecord } from '../../domain/job.ts'
import { maxRunBytes, withoutDetails } from '../bounds.ts'
import { jobColumns, jobRecord, type JobRow } from './rows.ts'

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

function bytesOf(text: string | null): number | null {
  return text === null ? null : Buffer.byteLength(text)
}
