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
import type { TryResult } from '../domain/webhook.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { LineChunk, MinuteRange, MinuteRow, StoredChunk, StoredMinute } from '../domain/task-history.ts'
import type { ClaimRequest, ClaimResult, DeliveryClaims, DeliveryRequest } from './claim-requests.ts'
import type { SearchWord } from './search-text.ts'
import type { StoreStats } from './totals.ts'

/**
 * `accepted`, with job 0's claim (null unless `claimsFirst`). With an idempotency key that is known already nothing is
 * written: `replayed` names the run that the same request has made before, `reused` the run of another request.
 */
export type AcceptReport =
  | { readonly result: 'accepted'; readonly first: ClaimedJob | null }
  | { readonly result: 'replayed'; readonly runId: string; readonly isDeferred: boolean }
  | { readonly result: 'reused'; readonly runId: string }

/** What an idempotency key stands for that is known already. */
export type KnownKey = Exclude<AcceptReport, { readonly result: 'accepted' }>

/** `active`: the run has jobs that are not final. */
export type RemoveResult = 'removed' | 'active' | 'not-found'

export interface RescueReport {
  /** Jobs queued again. */
  readonly requeued: number
  /** Jobs that had lost too many starts and are now failed as `crashed`. */
  readonly crashed: number
  /** Waiting jobs that fail when they lose one more start. */
  readonly suspects: number
}

export interface RunFilter {
  readonly state?: RunState
  readonly task?: string
  readonly tag?: string
  /** Only runs whose text has all of these words; where the store `canSearch`. Changes are found some time later. */
  readonly words?: readonly SearchWord[]
  /** Exclusive bounds of the run's creation. */
  readonly createdAfter?: number
  readonly createdBefore?: number
  /** Only runs whose id sorts before this one: the last id of the previous page. */
  readonly beforeId?: string
  readonly pageSize: number
}

export interface RunPage {
  /** Newest first, without results, failures and details of errors; as many as have `maxPageJobs` together, at least one. */
  readonly runs: readonly RunRecord[]
  readonly hasMore: boolean
  /** The next page begins after this run; not given where that is the last of `runs`. */
  readonly lastId?: string
}

/** Takes place only while the schedule is as its writer has read it. */
export interface ScheduleChange {
  readonly name: string
  /** The revision that was read; null: there was no such schedule. */
  readonly from: string | null
  /** null: it is removed. */
  readonly to: Schedule | null
  /** Accepted in the same transaction. */
  readonly run: NewRun | null
}

/** `outdated`: the schedule is not as the change has it; `full`: there are `maxSchedules`, and it is another one. */
export type ScheduleResult = 'changed' | 'outdated' | 'full'

export interface DueSchedules {
  /** Whose next tick is not later than the instant, the earliest first. */
  readonly due: readonly Schedule[]
  /** The first tick of all others; null without one. */
  readonly nextAt: number | null
}

export interface Store {
  /** Opens, migrates and takes ownership. @throws BootError */
  open(): Promise<void>
  /** Waits for earlier operations, then closes. Later calls reject. */
  close(): Promise<void>
  /**
   * Calls back after each commit, once per changed run, in order of commit. Accepting a run is no change, and of claims in
   * the same commit other processes are not notified: they cannot have seen the run before. Their commits are reported
   * here too, and can come late: of two changes of a run, the one with the higher version counts.
   */
  onChange(listener: ChangeListener): void
  /** Jobs not yet final, as of the last commit that this process saw. */
  backlog(): number
  /** Paused tasks, as far as this process knows: it hears within moments of pauses by other processes. */
  pausedTasks(): ReadonlySet<string>
  /** Whether runs can be found by their words. */
  readonly canSearch?: boolean
  /** Requests that others than the service commit in the store; absent where there can be none. */
  readonly inbox?: Inbox
  /** null for an engine that only one process uses. */
  readonly notifier: Notifier | null

  /** Commits the run, all its jobs and its idempotency key. Of several runs with one key the first wins. */
  accept(run: NewRun, at: number): Promise<AcceptReport>
  /** Takes due jobs, each durably claimed before it is returned. */
  claim(request: ClaimRequest): Promise<ClaimResult>
  /** Settles a job with its result, and with it the run's answer where this job decides it. */
  complete(claim: Claim, result: string, at: number): Promise<SettleResult>
  /** Spends the attempt: the job fails for good, or waits until `retryAt` when that is not null. */
  fail(claim: Claim, error: JobError, retryAt: number | null, at: number): Promise<SettleResult>
  /**
   * Fails jobs that were due for too long without a start; no claim takes such a job.
   * @returns of how many runs, which is bounded
   */
  expire(at: number): Promise<number>
  /**
   * From then on no claim takes a job of the task, or claims take them again. What runs goes on, and every other process gets
   * to know of it. One that has not yet starts no such job: `accept` of a run whose caller waits for it rejects there, with
   * `task-paused`. Asked again, it changes nothing.
   */
  setPaused(task: string, isPaused: boolean): Promise<void>
  /** Hands a job back unspent: it is due again at once. */
  release(claim: Claim, at: number): Promise<SettleResult>
  /**
   * Stores a step of the job under a claim that owns it; `full` beyond `maxSteps`. Steps stay through later attempts, and
   * are gone with the run and when a retry of the finished job is requested. Where a commit may have taken place and is
   * asked for again, readers get the step once.
   */
  keepStep(claim: Claim, step: Step, at: number): Promise<StepReport>
  /**
   * Keeps lines that tasks have logged; of each run about the last `maxLinesPerRun`. Chunks of a run that there is not are
   * dropped, and those of a run are gone with it.
   */
  keepLines(chunks: readonly LineChunk[], at: number): Promise<void>
  /**
   * Forgets chunks of lines that were written before the instant and, where all together have more than `maxBytes`, the
   * oldest; a bounded number of them.
   * @returns how many; 0 when nothing is left to forget
   */
  pruneLines(before: number, maxBytes: number): Promise<number>
  /** Keeps what tasks did in a minute, in addition to what is kept of it. */
  addMinutes(rows: readonly MinuteRow[]): Promise<void>
  /** Forgets rows of minutes before the instant, a bounded number of them. @returns how many */
  pruneMinutes(before: number): Promise<number>
  /** Notes that the run's caller gets a reply before there is an answer; repeated requests then get one, too. */
  defer(runId: string): Promise<void>
  /**
   * Cancels one job, or with `jobIndex` null all of the run's that are not final. The claims of those that were running
   * are void, and the change that is reported names those claims.
   */
  cancel(runId: string, jobIndex: number | null, at: number): Promise<CancelResult>
  /** Queues a failed or cancelled job again; its run goes on, and keeps an answer that it has. */
  retry(runId: string, jobIndex: number, at: number): Promise<RetryResult>
  /** Forgets a finished run and its idempotency key. */
  remove(runId: string): Promise<RemoveResult>
  /**
   * Notes that this process was asked to leave: when it dies from now on, the jobs that it holds have lost no start. They
   * can still be settled. Of a job that it was asked to leave soon after too many starts, this one counts as lost.
   * @returns how many jobs it holds
   */
  leave(at: number): Promise<number>
  /**
   * Takes back every job that a dead process held; no attempt is spent, a lost start is counted. Where the clock was set
   * back meanwhile, no job waits longer than it was to wait at all.
   */
  rescue(at: number): Promise<RescueReport>
  /**
   * Forgets finished runs that ended before `finishedBefore`, oldest first, at most `limit` and at least one where
   * there is one, and as many idempotency keys that are over at `at`; how many of both. A run with a pending delivery
   * stays: its receiver is to be sent the run.
   */
  prune(finishedBefore: number, limit: number, at: number): Promise<number>

  /**
   * Takes deliveries that are due, within the room for each receiver: of some receivers, in the order of their names, and
   * of these the longest due first. The change that ends a run with a webhook adds one, which is due at once.
   */
  claimDeliveries(request: DeliveryRequest): Promise<DeliveryClaims>
  /** Ends a try; nothing where another one has ended, or is under way, in its place. */
  endDeliveryTry(delivery: ClaimedDelivery, result: TryResult): Promise<void>
  /**
   * Makes a delivery due at once, with all its tries where it was over; false where there is none. One that is being sent
   * goes on.
   */
  retryDelivery(runId: string, version: number, at: number): Promise<boolean>
  /**
   * Hands back deliveries that were taken and that nobody sends: those of this process that are not among `kept`, and
   * those of processes that are dead.
   */
  releaseDeliveries(kept: readonly Pick<ClaimedDelivery, 'runId' | 'version'>[]): Promise<void>

  /**
   * The caller's clock was set forward by so much, or back: what waits goes on waiting for as long as it would have. Where
   * several processes share the store nothing is moved, for the clock of one of them is not that of the others.
   */
  shiftDueTimes(byMs: number): Promise<void>

  /**
   * Rejects where nothing can be written now, as on a full disk. It need not write anything where something was written
   * within the last seconds.
   */
  checkWritable(): Promise<void>

  /** Of a run with large results or failures those are left out (`omitted`): about `maxRunBytes` are read at once. */
  getRun(id: string): Promise<RunRecord | null>
  getJob(runId: string, jobIndex: number): Promise<JobRecord | null>
  /** null where there is no such job. */
  getInput(runId: string, jobIndex: number): Promise<JobInput | null>
  /**
   * How many due jobs of its kind are claimed before this one, as far as its process may claim them; of each task and
   * priority at most `maxCountedAhead` are counted. null where the job does not wait in the queue.
   */
  countAhead(runId: string, jobIndex: number, at: number): Promise<number | null>
  /** At most `stepsPerPage` steps from a place on, the first at 0; null where the claim does not own its job. */
  stepsOf(claim: Claim, from: number): Promise<StepPage | null>
  /** Chunks of the run's lines with this id or a higher one, the oldest first. */
  chunksOf(runId: string, fromId: number): Promise<readonly StoredChunk[]>
  /** In order of time, at most `minutesPerRead`. */
  minutesOf(range: MinuteRange): Promise<readonly StoredMinute[]>
  listRuns(filter: RunFilter): Promise<RunPage>
  /** What `accept` would reply because of the key alone; null where it would accept a run. */
  findKey(key: IdempotencyClaim, at: number): Promise<KnownKey | null>
  stats(at: number): Promise<StoreStats>

  /**
   * Writes a schedule and accepts the run that comes with it, or does neither. So of several processes one makes the run of
   * a tick, and no failure makes a second one. What code declares is never too much.
   */
  changeSchedule(change: ScheduleChange, at: number): Promise<ScheduleResult>
  getSchedule(name: string): Promise<Schedule | null>
  /** By name. */
  listSchedules(): Promise<readonly Schedule[]>
  dueSchedules(at: number): Promise<DueSchedules>
}

/**
 * Notifications between processes that share a store, apart from changes of runs. An engine that only one process uses
 * has none.
 */
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
  /** Calls back with the number of jobs that this process has taken back from one that died, outside of `rescue`. */
  onTakeover(listener: (jobs: number) => void): void
  /**
   * Publishes the progress of jobs that run here. Other processes forget it after a few seconds, so it is to be published
   * again. It changes no run and is not kept: the promise resolves whether any process has received it or not.
   */
  publishProgress(progress: readonly JobProgress[]): Promise<void>
  /** Since when processes have seen ticks without a gap: `at`, where this one began, or earlier; null for some seconds. */
  watchedSince(at: number): Promise<number | null>
  /** Progress of a job that runs in another process; null where none was received lately. */
  remoteProgress(runId: string, jobIndex: number): Progress | null
  /**
   * How many claims of this process ended without notice since it started: their jobs were taken over while it was
   * silent.
   */
  lostClaims(): number
}

/** Requests for runs that others than the service have committed, together with changes of their own. */
export interface Inbox {
  /** Calls back when requests may be waiting. */
  onRequests(listener: () => void): void
  /**
   * Calls `work` with the oldest requests, for one process at a time. `accept` of a run with `isFromInbox` takes the request
   * of that id out of the inbox.
   * @returns whether there may be more, and no other process is at them
   * @throws DatabaseFailure
   */
  take(query: InboxQuery, work: (requests: readonly InboxRequest[]) => Promise<void>): Promise<boolean>
}

export interface InboxRequest {
  /** Of the run. */
  readonly id: string
  /** JSON; null where it is larger than was asked for. */
  readonly text: string | null
}

export interface InboxQuery {
  /** Ids of requests that are left where they are. */
  readonly except: readonly string[]
  /** Of a request. */
  readonly maxBytes: number
}
