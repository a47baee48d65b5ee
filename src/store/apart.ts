/**
 * Texts that are too large for the record of their run. A record is written again with each change of one of its jobs;
 * these texts are written once, to the table `payload`, by run, job and part.
 */
import type { Apart, Job, Payload, Run } from '../domain/run/aggregate.ts'

const inputPart = 0
export const resultPart = 1
const errorPart = 2
/** The failure of claim n has part n plus this number: a claim fails at most once. */
const failureParts = 2

/** Characters of one text that a record holds, and of all its texts together. An error counts as the longest text. */
const maxText = 512
const maxTexts = 4_096
/** Characters of a text that a full record still holds. */
const maxTextWhenFull = 32
/** Characters of a job's error that it still holds: those of the service fit, so that cancelling a large run adds no rows. */
const maxErrorWhenFull = 128

export function isApart(value: unknown): value is Apart {
  return typeof value === 'object' && value !== null && 'part' in value
}

/** Whether the record has no room for another text that can be kept outside. */
export function isFull({ jobs }: Pick<Run, 'jobs'>): boolean {
  let length = 0
  for (const { input, result, error, failures } of jobs) {
    if (typeof input === 'string') length += input.length
    if (typeof result === 'string') length += result.length
    if (error !== null && !isApart(error)) length += maxText
    for (const failure of failures) if (!isApart(failure)) length += maxText
  }
  return length > maxTexts
}

export interface ApartChange {
  /** The job in the record; null for a new job. */
  readonly before: Job | null
  readonly isRecordFull: boolean
}

/** Writes the rows of one job. */
export interface ApartRows {
  put(part: number, text: string): void
  drop(part: number): void
}

/** Moves large new texts of a job to rows. @returns the job for the record */
export function setApart(job: Job, { before, isRecordFull }: ApartChange, rows: ApartRows): Job {
  const maxLength = isRecordFull ? maxTextWhenFull : maxText

  function toRow(part: number, text: string): Apart {
    rows.put(part, text)
    return { part, bytes: Buffer.byteLength(text) }
  }
  function keptText(part: number, text: Payload): Payload {
    return typeof text === 'string' && text.length > maxLength ? toRow(part, text) : text
  }
  function keptError<Value extends object>(part: number, error: Value, maxWhenFull: number): Value | Apart {
    const text = JSON.stringify(error)
    return text.length > (isRecordFull ? maxWhenFull : maxText) ? toRow(part, text) : error
  }
  function keptFailures(known: Job['failures']): Job['failures'] {
    // The last failure is that of the latest claim.
    const firstPart = failureParts + job.claim - (job.failures.length - 1)
    const failures = job.failures.map((failure, position) => {
      if (isApart(failure) || known.includes(failure)) return failure
      const { startedAt, finishedAt } = failure
      const kept = keptError(firstPart + position, failure, maxTextWhenFull)
      // Lists show when the attempt ran without reading the row.
      return isApart(kept) ? { ...kept, at: startedAt, ms: finishedAt - startedAt } : kept
    })
    for (const old of known) if (isApart(old) && !failures.includes(old)) rows.drop(old.part)
    return failures
  }

  let kept = job
  if (before === null) kept = { ...kept, input: keptText(inputPart, job.input) }
  if (job.result !== null && job.result !== before?.result) {
    kept = { ...kept, result: keptText(resultPart, job.result) }
  }
  if (job.error !== before?.error) {
    if (isApart(before?.error)) rows.drop(before.error.part)
    if (job.error !== null) kept = { ...kept, error: keptError(errorPart, job.error, maxErrorWhenFull) }
  }
  if (job.failures.length > 0 && job.failures !== before?.failures) {
    kept = { ...kept, failures: keptFailures(before?.failures ?? []) }
  }
  return kept
}

/** Bounds on what one commit removes, beyond its first run: everything else waits for the commit. */
const maxRemovedJobs = 2_000
const maxRemovedBytes = 32 * 2 ** 20

/** @returns whether the commit that removes runs may remove this one, too */
export function createRemovalBound(): (run: Run) => boolean {
  let [runs, jobs, bytes] = [0, 0, 0]
  return (run) => {
    runs += 1
    jobs += run.jobs.length
    bytes += bytesApart(run)
    return runs === 1 || (jobs <= maxRemovedJobs && bytes <= maxRemovedBytes)
  }
}

/** Bytes of the run's texts and steps that are outside its record. */
function bytesApart({ jobs }: Run): number {
  let total = 0
  for (const { input, result, error, failures, steps } of jobs) {
    for (const text of [input, result, error, ...failures]) if (isApart(text)) total += text.bytes
    total += steps?.bytes ?? 0
  }
  return total
}
