/** Tells other processes, once a second, what the jobs that run here say of their progress. */
import type { JobProgress } from '../domain/job.ts'
import type { Store } from '../store/store.ts'

export interface ProgressTeller {
  start(): void
  stop(): void
}

export interface ProgressTellerOptions {
  readonly store: Pick<Store, 'tellProgress'>
  /** Of all jobs that run here. */
  readonly allProgress: () => readonly JobProgress[]
}

const roundMs = 1_000
/** What has not changed is told again, for who has not heard it, and before it is forgotten. */
const repeatEvery = 4

export function createProgressTeller({ store, allProgress }: ProgressTellerOptions): ProgressTeller {
  let timer: NodeJS.Timeout | undefined
  let told = new Map<string, string>()
  let rounds = 0

  function round(): void {
    rounds += 1
    const all = allProgress().map((job) => ({ job, key: `${job.runId}/${job.jobIndex}`, text: JSON.stringify(job) }))
    const isRepeat = rounds % repeatEvery === 0
    const news = all.filter(({ key, text }) => isRepeat || told.get(key) !== text)
    told = new Map(all.map(({ key, text }) => [key, text]))
    if (news.length > 0) void store.tellProgress(news.map(({ job }) => job))
  }

  return {
    start: () => void (timer = setInterval(round, roundMs)),
    stop: () => clearInterval(timer),
  }
}
