/**
 * Notifications between processes that share a store, apart from changes of runs. An engine that only one process uses
 * has none.
 */
import type { JobProgress, Progress } from '../domain/claim.ts'

export interface Notifier {
  /**
   * Calls back when there may be jobs to claim that no verb of this process has announced: another process has left
   * some, or time has passed.
   */
  onWork(listener: () => void): void
  /**
   * Calls back when changes that another process committed may have been missed: every waiter for a change is to read
   * its run.
   */
  onGap(listener: () => void): void
  /**
   * Publishes the progress of jobs that run here. Other processes forget it after a few seconds, so it is to be published
   * again. It changes no run and is not kept: the promise resolves whether any process has received it or not.
   */
  publishProgress(progress: readonly JobProgress[]): Promise<void>
  /** Progress of a job that runs in another process; null where none was received lately. */
  remoteProgress(runId: string, jobIndex: number): Progress | null
  /**
   * How many claims of this process ended without notice since it started: their jobs were taken over while it was
   * silent.
   */
  lostClaims(): number
}
