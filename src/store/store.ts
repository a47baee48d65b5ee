/**
 * The contract of every engine. Each verb is atomic: its promise resolves when its writes are durable, and rejects with
 * `AppError('store-unavailable')` otherwise. A rejected verb has written nothing, unless the connection to a server was
 * lost during the commit: then it may have written everything. Settling the same claim again is safe in both cases. A
 * read sees every earlier write. Every instant is in epoch milliseconds and comes from the caller; every payload is JSON
 * text.
 */
import type { Claim, ClaimedJob, JobProgress, Progress, Step, StepPage, StepReport } from '../domain/claim.ts'
import type { JobError, JobInput, JobRecord } from '../domain/job.ts'
import type { ChangeListener, ClaimedDelivery, RunRecord, RunState } from '../domain/run.ts'
import type { IdempotencyClaim, NewRun } from '../domain/run/new-run.ts'
import type { CancelResult, RetryResult, SettleResult } from '../domain/run/verbs.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { LineChunk, MinuteRange, MinuteRow, StoredChunk, StoredMinute } from '../domain/task-history.ts'
import type { TryResult } from '../domain/webhook.ts'
import type { ClaimRequest, ClaimResult, DeliveryClaims, DeliveryRequest } from './claim-requests.ts'
import type { SearchWord } from './search-text.ts'
import type { StoreStats } from './totals.ts'

/** `accepted` has the claim of job 0, null unless the run `claimsFirst`. The other reports have written nothing. */
export type AcceptReport = { readonly result: 'accepted'; readonly first: ClaimedJob | null } | KnownKey

/**
 * The idempotency key is known. `replayed`: the same request made this run; `reused`: another request did. `isDeferred`: the
 * response to the first request left before there was an answer.
 */
export type KnownKey =
  | { readonly result: 'replayed'; readonly runId: string; readonly isDeferred: boolean }
  | { readonly result: 'reused'; readonly runId: string }

/** `active`: the run has jobs that are not final. */
export type RemoveResult = 'removed' | 'active' | 'not-found'

export interface RescueReport {
  /** Jobs queued again. */
  readonly requeued: number
  /** Jobs that lost too many starts and are now failed as `crashed`. */
  readonly crashed: number
  /** Waiting jobs that fail when they lose one more start. */
  readonly suspects: number
}

export interface RunFilter {
  readonly state?: RunState
  readonly task?: string
  readonly tag?: string
  /** Only runs whose text has all of these words. Needs `canSearch`; a change is found some time later. */
  readonly words?: readonly SearchWord[]
  /** Exclusive bounds of the run's creation. */
  readonly createdAfter?: number
  readonly createdBefore?: number
  /** Only runs whose id sorts before this one: the last id of the previous page. */
  readonly beforeId?: string
  readonly pageSize: number
}

export interface RunPage {
  /** Newest first, without results, failures and details of errors. Ends at `maxPageJobs` jobs, after at least one run. */
  readonly runs: readonly RunRecord[]
  readonly hasMore: boolean
  /** The next page begins after this run; absent if that is the last of `runs`. */
  readonly lastId?: string
}

export interface ScheduleChange {
  readonly name: string
  /** The revision that the writer has read: the change applies only to that. null: there was no such schedule. */
  readonly from: string | null
  /** null removes the schedule. */
  readonly to: Schedule | null
  /** Accepted in the same transaction. */
  readonly run: NewRun | null
}

/** `outdated`: the schedule has another revision; `full`: a new schedule would exceed `maxSchedules`. */
export type ScheduleResult = 'changed' | 'outdated' | 'full'

export interface DueSchedules {
  /** Schedules whose next tick is due, the earliest first. */
  readonly due: readonly Schedule[]
  /** The first tick of all other schedules; null without one. */
  readonly nextAt: number | null
}

export interface Store {
  /** Opens, migrates and takes ownership. @throws BootError */
  open(): Promise<void>
  /** Waits for earlier operations, then closes. Later calls reject. */
  close(): Promise<void>
  /**
   * Calls back after each commit, once per changed run, in order of commit. Accepting a run is no change. Commits of other
   * processes are reported, too, and can arrive late: of two changes of a run, the one with the higher version counts. They
   * leave out claims of the commit that accepts the run, because nobody else can have seen the run before.
   */
  onChange(listener: ChangeListener): void
  /** Number of jobs that are not final, as of the last commit that this process saw. */
  backlog(): number
  /** Paused tasks, as far as this process knows: it hears of pauses by other processes within moments. */
  pausedTasks(): ReadonlySet<string>
  /** Whether runs can be found by their words. */
  readonly canSearch?: boolean
  /** Requests that other programs commit in the store; absent if the engine takes none. */
  readonly inbox?: Inbox
  /** null for an engine that only one process uses. */
  readonly notifier: Notifier | null

  /** Commits the run, all its jobs and its idempotency key. Of several runs with one key the first wins. */
  accept(run: NewRun, at: number): Promise<AcceptReport>
  /** Claims due jobs; each claim is durable before it is returned. */
  claim(request: ClaimRequest): Promise<ClaimResult>
  /** Settles a job with its result, and decides the run's answer if this job does. */
  complete(claim: Claim, result: string, at: number): Promise<SettleResult>
  /** Spends the attempt: the job waits until `retryAt`, or fails for good if that is null. */
  fail(claim: Claim, error: JobError, retryAt: number | null, at: number): Promise<SettleResult>
  /** Hands a job back unspent: it is due again at once. */
  release(claim: Claim, at: number): Promise<SettleResult>
  /**
   * Fails jobs that were due for too long without a start; no claim takes such a job.
   * @returns number of changed runs, which is bounded
   */
  expire(at: number): Promise<number>
  /**
   * Stops or resumes claims of the task's jobs; running jobs go on. Repeating it changes nothing. Another process that has
   * not heard of the pause yet starts no such job either: its `accept` of a run with `claimsFirst` rejects with `task-paused`.
   */
  setPaused(task: string, isPaused: boolean): Promise<void>
  /**
   * Stores a step of the job under a claim that owns it; `full` beyond `maxSteps`. Later attempts keep the steps; removing
   * the run drops them, and so does retrying the finished job. Repeating it after a commit of unknown outcome is safe:
   * readers get the step once.
   */
  keepStep(claim: Claim, step: Step, at: number): Promise<StepReport>
  /** Keeps lines that tasks have logged, about the last `maxLinesPerRun` of each run; drops lines of unknown runs. */
  keepLines(chunks: readonly LineChunk[], at: number): Promise<void>
  /**
   * Removes chunks of lines that were written before the instant and, while all chunks have more than `maxBytes`, the
   * oldest chunks.
   * @returns how many, which is bounded; 0 when nothing is left to remove
   */
  pruneLines(before: number, maxBytes: number): Promise<number>
  /** Adds what tasks did in a minute to what is kept of it. */
  addMinutes(rows: readonly MinuteRow[]): Promise<void>
  /** Removes rows of minutes before the instant. @returns how many, which is bounded */
  pruneMinutes(before: number): Promise<number>
  /** Notes that the run's caller got a reply before the answer; repeated requests then get such a reply, too. */
  defer(runId: string): Promise<void>
  /**
   * Cancels one job, or with `jobIndex` null every job of the run that is not final. The claims of running ones are void,
   * and the reported change names them.
   */
  cancel(runId: string, jobIndex: number | null, at: number): Promise<CancelResult>
  /** Queues a failed or cancelled job again; its run goes on, and keeps its answer if it has one. */
  retry(runId: string, jobIndex: number, at: number): Promise<RetryResult>
  /** Removes a finished run and its idempotency key. */
  remove(runId: string): Promise<RemoveResult>
  /**
   * Notes that this process was asked to leave: if it dies from now on, the jobs that it holds lose no start. They can still
   * be settled. A job that processes left too often soon after its start loses this start all the same.
   * @returns number of jobs that it holds
   */
  leave(at: number): Promise<number>
  /**
   * Takes back every job that a dead process held: no attempt is spent, a lost start is counted unless `leave` prevents it.
   * If the clock was set back meanwhile, no job waits longer than it was to wait in total.
   */
  rescue(at: number): Promise<RescueReport>
  /**
   * Removes finished runs that ended before `finishedBefore`, oldest first, and idempotency keys that are too old at `at`: at
   * most `limit` of each, and at least one run if there is one. A run with a pending delivery stays, because the delivery
   * sends it.
   * @returns number of both together
   */
  prune(finishedBefore: number, limit: number, at: number): Promise<number>

  /**
   * Claims due deliveries, within the room of each receiver: reads some receivers, in the order of their names, and claims
   * their longest due deliveries first. The change that ends a run with a webhook adds a delivery, which is due at once.
   */
  claimDeliveries(request: DeliveryRequest): Promise<DeliveryClaims>
  /** Ends a try of a claimed delivery, unless that was handed back, and another try has ended or another process has it. */
  endDeliveryTry(delivery: ClaimedDelivery, result: TryResult): Promise<void>
  /**
   * Makes a delivery due at once; one that was over gets all its tries again, and one that is being sent goes on.
   * @returns whether there is such a delivery
   */
  retryDelivery(runId: string, version: number, at: number): Promise<boolean>
  /** Hands back claimed deliveries that nobody sends: those of this process that are not `kept`, and those of dead processes. */
  releaseDeliveries(kept: readonly Pick<ClaimedDelivery, 'runId' | 'version'>[]): Promise<void>

  /**
   * Moves due times when the caller's clock was set by this much, so that waits keep their length. An engine that several
   * processes share moves nothing, because their clocks differ.
   */
  shiftDueTimes(byMs: number): Promise<void>

  /** Rejects if nothing can be written, as on a full disk. A write within the last seconds counts as proof that it can. */
  checkWritable(): Promise<void>

  /** Reads at most about `maxRunBytes`: leaves out large results and failures (`omitted`). */
  getRun(id: string): Promise<RunRecord | null>
  getJob(runId: string, jobIndex: number): Promise<JobRecord | null>
  /** null: there is no such job. */
  getInput(runId: string, jobIndex: number): Promise<JobInput | null>
  /**
   * Counts the due jobs of its kind that are claimed before this one, as far as its process may claim them, and at most
   * `maxCountedAhead` of each task and priority. null: the job is not in the queue.
   */
  countAhead(runId: string, jobIndex: number, at: number): Promise<number | null>
  /** At most `stepsPerPage` steps from a position on, 0 for the first; null: the claim does not own its job. */
  stepsOf(claim: Claim, from: number): Promise<StepPage | null>
  /** Chunks of the run's lines with this id or a higher one, the oldest first. */
  chunksOf(runId: string, fromId: number): Promise<readonly StoredChunk[]>
  /** In order of time, at most `minutesPerRead`. */
  minutesOf(range: MinuteRange): Promise<readonly StoredMinute[]>
  listRuns(filter: RunFilter): Promise<RunPage>
  /** What `accept` would report because of the key; null: it would accept a run. */
  findKey(key: IdempotencyClaim, at: number): Promise<KnownKey | null>
  stats(at: number): Promise<StoreStats>

  /**
   * Writes a schedule and accepts the run that comes with it, or does neither: so each tick makes one run, whatever fails
   * and however many processes try. Schedules that code declares are never too many.
   */
  changeSchedule(change: ScheduleChange, at: number): Promise<ScheduleResult>
  getSchedule(name: string): Promise<Schedule | null>
  /** In the order of their names. */
  listSchedules(): Promise<readonly Schedule[]>
  dueSchedules(at: number): Promise<DueSchedules>
}

/** Notifications between processes that share a store, apart from changes of runs. */
export interface Notifier {
  /**
   * Calls back when there may be jobs to claim that no verb of this process announced: another process left some, or time
   * has passed.
   */
  onWork(listener: () => void): void
  /** Calls back when changes by other processes may have been missed. Then a caller that waits for a change must read its run. */
  onGap(listener: () => void): void
  /** Calls back with the number of jobs that this process took back from a dead one, outside of `rescue`. */
  onTakeover(listener: (jobs: number) => void): void
  /**
   * Publishes the progress of jobs that run here. It is not stored, and other processes forget it after a few seconds, so
   * the caller repeats it. Resolves whether or not a process has received it.
   */
  publishProgress(progress: readonly JobProgress[]): Promise<void>
  /**
   * Since when processes have watched the ticks of schedules without a gap: `at`, when this process began to, or earlier. null
   * for some seconds after that.
   */
  watchedSince(at: number): Promise<number | null>
  /** Progress of a job that runs in another process; null if none was received lately. */
  remoteProgress(runId: string, jobIndex: number): Progress | null
  /** Number of claims that this process lost without notice: their jobs were taken over while it was silent. */
  lostClaims(): number
}

/** Requests for runs that other programs commit in the store, together with changes of their own. */
export interface Inbox {
  /** Calls back when requests may be waiting. */
  onRequests(listener: () => void): void
  /**
   * Calls `work` with the oldest requests; only one process does that at a time. `accept` of a run with `isFromInbox` takes
   * the request with its id out of the inbox.
   * @returns whether there may be more requests, and no other process is working on them
   * @throws DatabaseFailure
   */
  take(query: InboxQuery, work: (requests: readonly InboxRequest[]) => Promise<void>): Promise<boolean>
}

export interface InboxRequest {
  /** Id of the run to make. */
  readonly id: string
  /** JSON; null if it is larger than `maxBytes`. */
  readonly text: string | null
}

export interface InboxQuery {
  /** Ids of requests to leave in the inbox. */
  readonly except: readonly string[]
  /** The largest text of a request that is read. */
  readonly maxBytes: number
}
