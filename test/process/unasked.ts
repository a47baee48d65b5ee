/** Which jobs of a load came to an outcome that nothing has caused: each input says how often its job fails. */
import { jobKey } from './executions.ts'

export interface EndedJob {
  readonly runId: string
  readonly jobIndex: number
  readonly state: string
  readonly lostStarts: number
  /** JSON texts. */
  readonly input: string | null
  readonly error: string | null
  readonly failures: string
}

interface Failure {
  readonly attempt: number
  readonly error: { readonly code: string }
}

/** Starts that a job may lose before it fails as crashed. */
const lostStartsOfCrashed = 3

/**
 * @param mayBeCancelled whether a cancel was sent that can have ended the job, by its key
 * @param kills how many processes were killed: without three kills no job can have lost three starts
 * @returns each as its key with what is unasked of it
 */
export function unaskedOutcomes(
  jobs: readonly EndedJob[],
  mayBeCancelled: (key: string) => boolean,
  kills: number,
): string[] {
  return jobs.flatMap((job) => {
    const reason = unaskedIn(job, kills)
    if (reason === 'cancelled' && (mayBeCancelled(jobKey(job)) || hasLostAnother(job, jobs))) return []
    return reason === null ? [] : [`${jobKey(job)}: ${reason}`]
  })
}

/** Whether it has waited for a job that ended without a result. */
function hasLostAnother({ runId, error }: EndedJob, jobs: readonly EndedJob[]): boolean {
  const index = /"job (\d+) (?:failed|was cancelled)"/.exec(error ?? '')?.[1]
  const other = jobs.find((job) => job.runId === runId && job.jobIndex === Number(index))
  return other !== undefined && other.state !== 'completed'
}

function unaskedIn({ state, lostStarts, input, error, failures }: EndedJob, kills: number): string | null {
  // Rows and inputs are this repository's own.
  const asked = (JSON.parse(input ?? '{}') as { readonly failures?: number }).failures ?? 0
  const wrongAttempt = (JSON.parse(failures) as Failure[]).find(({ attempt, error: { code } }) => {
    return code !== 'task_error' || attempt > asked
  })
  if (wrongAttempt !== undefined) return `attempt ${wrongAttempt.attempt} failed as ${wrongAttempt.error.code}`
  if (state === 'cancelled') return 'cancelled'
  if (state !== 'failed') return null
  const { code } = JSON.parse(error ?? '{}') as { readonly code?: string }
  const isAsked =
    code === 'crashed' ? kills >= lostStartsOfCrashed && lostStarts >= lostStartsOfCrashed : code === 'task_error'
  return isAsked ? null : `failed as ${code}`
}
