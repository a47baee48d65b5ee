/** Publishes the progress of the jobs that run here to other processes, once a second. */
import type { JobProgress } from '../domain/job.ts'
import type { Notifier } from '../store/notifier.ts'

export interface ProgressPublisher {
  start(): void
  stop(): void
}

export interface ProgressPublisherOptions {
  readonly notifier: Pick<Notifier, 'publishProgress'>
  /** Progress of all jobs that run here. */
  readonly allProgress: () => readonly JobProgress[]
}

const roundMs = 1_000
/** Unchanged progress is published again every fourth round, for processes that missed it, and before it is forgotten. */
const repeatEvery = 4

export function createProgressPublisher({ notifier, allProgress }: ProgressPublisherOptions): ProgressPublisher {
  let timer: NodeJS.Timeout | undefined
  let published = new Map<string, string>()
  let rounds = 0

  function publish(): void {
    rounds += 1
    const all = allProgress().map((job) => ({ job, key: `${job.runId}/${job.jobIndex}`, text: JSON.stringify(job) }))
    const isRepeat = rounds % repeatEvery === 0
    const changed = all.filter(({ key, text }) => isRepeat || published.get(key) !== text)
    published = new Map(all.map(({ key, text }) => [key, text]))
    if (changed.length > 0) void notifier.publishProgress(changed.map(({ job }) => job))
  }

  return {
    start: () => void (timer = setInterval(publish, roundMs)),
    stop: () => clearInterval(timer),
  }
}
