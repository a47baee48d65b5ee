/** Runs first jobs on the main thread, where their callers wait for them, and shows the stall watch which ones. */
import type { Claim, ClaimedJob } from '../../domain/claim.ts'
import type { Heartbeat } from '../../domain/heartbeat.ts'
import type { AttemptOutcome, JobProgress, Progress } from '../../domain/job.ts'
import type { Log } from '../../log.ts'
import type { Registry } from '../../tasks/registry.ts'
import { startFirstAttempt, type FirstAttempt } from './first-attempt.ts'
import type { MainThreadGuard } from './main-thread-guard.ts'
import { createRealmGuard, type RealmGuard } from './realm-guard.ts'

export interface FirstJobs {
  /** Runs one attempt; resolves to its outcome and never rejects. */
  run(job: ClaimedJob): Promise<AttemptOutcome>
  /** Asks the attempt under this claim, if it runs here, to stop because its job was cancelled. */
  cancel(claim: Claim): void
  /** What a job that runs here has told of itself; null while it has told nothing, or does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  /** Of all that run. */
  allProgress(): JobProgress[]
  /** Begins to show that the main thread's loop turns. */
  start(): void
  /** Resolves when none runs; after `graceMs` those that do are asked to stop, and handed back. */
  stop(graceMs: number): Promise<void>
}

export interface FirstJobsOptions {
  readonly registry: Registry
  readonly guard: MainThreadGuard
  readonly heartbeat: Heartbeat
  readonly log: Log
  /** From the signal to the moment when the job is given up, in milliseconds. */
  readonly cancelGraceMs: number
  /** How long the main thread may stand still before the watch acts, in milliseconds. */
  readonly mainStallMs: number
}

/** The watch looks about five times in one stall. */
const beatsPerStall = 10
const maxBeatMs = 1_000
const maxShown = 8

export function createFirstJobs(options: FirstJobsOptions): FirstJobs {
  const { registry, guard, heartbeat, log, cancelGraceMs, mainStallMs } = options
  /** By run, of which one job at the most is here. */
  const running = new Map<string, FirstAttempt>()
  let recent: FirstAttempt[] = []
  let beating: NodeJS.Timeout | undefined
  let realm: RealmGuard | undefined

  function showRunning(): void {
    // The latest are the likeliest to stand in the way.
    const latest = recent.map(({ job }) => `${job.task} (run ${job.runId})`)
    const more = running.size - latest.length
    heartbeat.setRunning(more > 0 ? [...latest, `and ${more} more`] : latest)
  }

  function find(runId: string, jobIndex: number): FirstAttempt | undefined {
    const attempt = running.get(runId)
    return attempt?.job.jobIndex === jobIndex ? attempt : undefined
  }

  function beat(): void {
    heartbeat.beat()
    if (recent.length === 0) return
    // Of jobs that run, or ended since the last beat.
    realm?.look(recent)
    // Not before: what one leaves behind at its end can stand in the way too, and one that was given up goes on.
    recent = recent.filter((attempt) => !attempt.hasReturned())
    showRunning()
  }

  return {
    async run(job) {
      const task = registry.get(job.task)
      if (task === undefined) throw new Error(`the task ${job.task} was accepted and is not registered`)
      const { title } = process
      realm ??= createRealmGuard({ onGuilty: guard.banish, log })
      realm.look(recent)
      const attempt = startFirstAttempt({ job, task, guard, realm, log, cancelGraceMs })
      running.set(job.runId, attempt)
      recent = [...recent, attempt].slice(-maxShown)
      showRunning()
      const outcome = await attempt.ended
      running.delete(job.runId)
      if (process.title !== title) process.title = title
      return outcome
    },
    cancel({ runId, jobIndex, claim }) {
      const attempt = find(runId, jobIndex)
      if (attempt?.job.claim === claim) attempt.cancel()
    },
    progress: (runId, jobIndex) => find(runId, jobIndex)?.progress() ?? null,
    allProgress: () =>
      [...running.values()].flatMap(({ job: { runId, jobIndex }, progress }) => {
        const told = progress()
        return told === null ? [] : [{ runId, jobIndex, ...told }]
      }),
    start() {
      // Takes its time, and nobody needs it at once.
      setImmediate(() => (realm ??= createRealmGuard({ onGuilty: guard.banish, log })))
      beating = setInterval(beat, Math.min(maxBeatMs, mainStallMs / beatsPerStall))
    },
    async stop(graceMs) {
      const timer = setTimeout(() => {
        for (const attempt of running.values()) attempt.release()
      }, graceMs)
      await Promise.all([...running.values()].map(({ ended }) => ended))
      clearTimeout(timer)
      clearInterval(beating)
    },
  }
}
