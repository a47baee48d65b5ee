/**
 * Jobs that wait for the results of other jobs. A change that ends a job, or queues it again, also updates the jobs that
 * wait for it: they become due, are cancelled, or are blocked again.
 */
import { changeJob, jobAt, type Chain, type Job, type Run } from './aggregate.ts'

/** Updates all jobs of the run that wait for others. */
export function advanceChains(run: Run, at: number): Run {
  let changed = run
  // In order of index: dependencies have lower indexes, and are updated first.
  for (let index = 1; index < run.jobs.length; index += 1) {
    const chain = run.jobs[index]?.chain ?? null
    if (chain !== null) changed = advance(changed, index, chain, at)
  }
  return changed
}

function advance(run: Run, index: number, chain: Chain, at: number): Run {
  const { state } = jobAt(run, index)
  const { cancelledBy } = chain
  if (state === 'cancelled' && cancelledBy !== null && !endedWithoutResult(run, cancelledBy)) {
    const blocked = { ...chain, cancelledBy: null }
    return advance(changeJob(run, index, { to: 'blocked', queuedAt: at, chain: blocked }, at), index, blocked, at)
  }
  if (state !== 'blocked') return run
  const failed = failedDependency(run, chain)
  if (failed !== null) {
    const message = `job ${failed} ${jobAt(run, failed).state === 'failed' ? 'failed' : 'was cancelled'}`
    const cancelled = { ...chain, cancelledBy: failed }
    return changeJob(run, index, { to: 'cancelled', error: { code: 'cancelled', message }, chain: cancelled }, at)
  }
  if (missingOf(run, chain).length > 0) return run
  return changeJob(run, index, { to: 'queued', queuedAt: at, runAt: at + chain.delayMs }, at)
}

/** The first dependency that failed or was cancelled, or null. */
export function failedDependency(run: Run, { after }: Chain): number | null {
  return after.find((index) => endedWithoutResult(run, index)) ?? null
}

function endedWithoutResult(run: Run, index: number): boolean {
  const { state } = jobAt(run, index)
  return state === 'failed' || state === 'cancelled'
}

/** The dependencies that are not completed. */
export function missingOf({ jobs }: Run, { after }: Chain): number[] {
  return after.filter((index) => jobs[index]?.state !== 'completed')
}

/** Whether other jobs of the run wait for this one's result. */
export function isAwaited({ jobs }: Run, jobIndex: number): boolean {
  for (let index = jobIndex + 1; index < jobs.length; index += 1) {
    if (jobs[index]?.chain?.after.includes(jobIndex) === true) return true
  }
  return false
}

/** Results of the job's dependencies, in their order; undefined if it has none. */
export function resultsFor(
  { jobs }: Run,
  { chain }: Pick<Job, 'chain'>,
  resultOf: (job: Job, index: number) => string | null,
): string[] | undefined {
  return chain?.after.map((index) => {
    const job = jobs[index]
    const result = job === undefined ? null : resultOf(job, index)
    if (result === null) throw new Error(`job ${index} has no result, and another one was to have it`)
    return result
  })
}
