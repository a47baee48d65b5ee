/**
 * Runs the suspects: jobs that ran while their process died. One at a time, so that a further death is blamed on the right
 * job.
 */
import type { ClaimedJob } from '../domain/claim.ts'
import { taskKinds } from '../domain/task.ts'
import type { Log } from '../log.ts'
import type { ClaimResult } from '../store/claim-requests.ts'
import type { Store } from '../store/store.ts'
import type { TaskLimits } from './task-limits.ts'

export interface SuspectsOptions {
  readonly store: Pick<Store, 'claim'>
  readonly taskLimits: TaskLimits
  /** Resolves when the job has ended and is settled. */
  readonly run: (job: ClaimedJob) => Promise<void>
  readonly log: Log
}

export function createSuspects({ store, taskLimits, run, log }: SuspectsOptions) {
  let isStopped = false
  let claiming: Promise<ClaimResult> | null = null
  let done = Promise.resolve()
  /** Ends the wait for a free slot. */
  let onCapacity = (): void => {}

  async function runOneByOne(): Promise<void> {
    while (!isStopped) {
      const request = taskLimits.request('suspects')
      const { promise: hasCapacity, resolve } = Promise.withResolvers<void>()
      onCapacity = resolve
      claiming = store.claim(request)
      const [job] = (await claiming).jobs
      claiming = null
      if (job !== undefined) await runAlone(job)
      else if (taskKinds.every((kind) => request.slots.some((slot) => slot.kind === kind))) return
      // The last suspect may have ended its thread, so that others of its kind wait for a new thread.
      else await hasCapacity
    }
  }

  async function runAlone(job: ClaimedJob): Promise<void> {
    const { runId, jobIndex, task, lostStarts } = job
    log.warn({ runId, jobIndex, task, lostStarts }, 'a job that ran while the process died is tried again, alone')
    await run(job)
  }

  return {
    /** Resolves when no suspect waits; never rejects. Call it once. */
    runAll(): Promise<void> {
      done = runOneByOne().catch((error: unknown) => {
        claiming = null
        log.error({ err: error }, 'the suspect jobs could not be claimed')
      })
      return done
    },
    isClaiming: (): boolean => claiming !== null,
    /** Slots have become free. */
    onCapacity: (): void => onCapacity(),
    /** Claims no more. Resolves when a claim under way has its reply. */
    async stopClaiming(): Promise<void> {
      isStopped = true
      onCapacity()
      await Promise.allSettled([claiming])
    },
    /** Resolves when no suspect runs that was claimed here. */
    whenDone: (): Promise<void> => done,
  }
}
