/**
 * Texts that are too large for the record of their run. A record is written again with each change of one of its jobs;
 * these texts are written once, to the table `payload`, by run, job and part.
 */
import type { Apart, Job, Run } from '../domain/run/aggregate.ts'

const inputPart = 0
export const resultPart = 1
const errorPart = 2
/** The failure of claim n has part n plus this number: a claim fails at most once. */
const failureParts = 2

/** Characters of one text that a record holds, and of all its texts together. An error counts as the longest of them. */
const maxText = 512
const maxTexts = 4_096
/** Characters of a text that a full record still takes. */
const maxTextWhenFull = 32
/** The same for a job's error: the service's own errors fit, so that a cancel of a large run writes no further rows. */
const maxErrorWhenFull = 128

/** The table's rows of one job. */
export interface JobPayloads {
  put(part: number, text: string): void
  drop(part: number): void
}

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

/** Jobs and bytes that one commit removes at most, or one run, because everything else waits for the commit. */
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
  const texts = jobs.flatMap(({ input, result, error, failures }) => [input, result, error, ...failures])
  const stepBytes = jobs.reduce((sum, { steps }) => sum + (steps?.bytes ?? 0), 0)
  return texts.filter(isApart).reduce((sum, { bytes }) => sum + bytes, stepBytes)
}

/** Moves new texts of the job to the table unless they are small. @param before null for a new job @returns the job for its record */
export function setApart(before: Job | null, job: Job, isRecordFull: boolean, payloads: JobPayloads): Job {
  function put(part: number, text: string): Apart {
    payloads.put(part, text)
    return { part, bytes: Buffer.byteLength(text) }
  }
  const maxLength = isRecordFull ? maxTextWhenFull : maxText
  const keptText = (part: number, text: Job['input']): Job['input'] =>
    typeof text === 'string' && text.length > maxLength ? put(part, text) : text
  function keptError<Value extends object>(part: number, value: Value, maxWhenFull: number): Value | Apart {
    const text = JSON.stringify(value)
    return text.length > (isRecordFull ? maxWhenFull : maxText) ? put(part, text) : value
  }

  let kept = job
  if (before === null && typeof job.input === 'string') kept = { ...kept, input: keptText(inputPart, job.input) }
  if (job.result !== null && before?.result !== job.result) {
    kept = { ...kept, result: keptText(resultPart, job.result) }
  }
  if (job.error !== before?.error) {
    if (isApart(before?.error)) payloads.drop(before.error.part)
    if (job.error !== null) kept = { ...kept, error: keptError(errorPart, job.error, maxErrorWhenFull) }
  }
  if (job.failures.length > 0 && job.failures !== before?.failures) {
    const known = before?.failures ?? []
    // The last failure is that of the latest claim.
    const partOf = (place: number): number => failureParts + job.claim - (job.failures.length - 1 - place)
    const failures = job.failures.map((failure, place) => {
      if (isApart(failure) || known.includes(failure)) return failure
      const { startedAt, finishedAt } = failure
      const stored = keptError(partOf(place), failure, maxTextWhenFull)
      // Lists show when it ran, and read no further rows for that.
      return isApart(stored) ? { ...stored, at: startedAt, ms: finishedAt - startedAt } : stored
    })
    for (const old of known) if (isApart(old) && !failures.includes(old)) payloads.drop(old.part)
    kept = { ...kept, failures }
  }
  return kept
}
