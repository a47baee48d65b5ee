/** Bounds of one read of runs, so that no reader has everything in memory: the rest can be read job by job. */
import type { JobError } from '../domain/job.ts'

/** Results, failures, errors and steps of one run, in bytes. */
export const maxRunBytes = 65_536
/** What a step counts there: all that one job can have fit. */
export const bytesPerStep = 64
/** Jobs of the runs in one page of a list. */
export const maxPageJobs = 2_500
/** Jobs before another one in the queue that are counted of one task: further ones are not looked at. */
export const maxCountedAhead = 1_000
/** Characters of the message of an error whose details are left out. */
const maxMessageLength = 500

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
