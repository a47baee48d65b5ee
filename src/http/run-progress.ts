/** What the running jobs of a run tell of their progress: looked at once for all streams, told to each but once. */
import type { RunRecord } from '../domain/run.ts'
import { progressEvent } from './run-event.ts'
import type { ProgressOf } from './views/job.ts'

interface Sample {
  readonly jobIndex: number
  /** Tells two samples of a job apart, those of two attempts too. */
  readonly key: string
  readonly event: string
}

export type SampleProgress = (run: RunRecord) => readonly Sample[]

/** @returns a function that looks at a run's jobs; once, however many streams ask for it */
export function createProgressSampler(progressOf: ProgressOf): SampleProgress {
  const sampled = new Map<RunRecord, readonly Sample[]>()

  return (run) => {
    const samples = sampled.get(run) ?? sample(run, progressOf)
    sampled.set(run, samples)
    return samples
  }
}

/** @returns a function that tells one stream what it was not told; what its client does not take waits for the next time */
export function createProgressTeller(tellNow: (text: string) => boolean): (samples: readonly Sample[]) => void {
  const told = new Map<number, string>()

  return (samples) => {
    const news = samples.filter(({ jobIndex, key }) => told.get(jobIndex) !== key)
    if (news.length === 0 || !tellNow(news.map(({ event }) => event).join(''))) return
    for (const { jobIndex, key } of news) told.set(jobIndex, key)
  }
}

function sample(run: RunRecord, progressOf: ProgressOf): Sample[] {
  return run.jobs.flatMap(({ index, state, startedAt }) => {
    const progress = state === 'running' ? progressOf(run.id, index) : null
    if (progress === null) return []
    const { fraction, message } = progress
    const event = progressEvent({ jobIndex: index, progress: fraction, ...(message !== '' && { message }) })
    return [{ jobIndex: index, key: `${startedAt} ${event}`, event }]
  })
}
