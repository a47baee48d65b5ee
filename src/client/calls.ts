/** Every call of a service, which is reached over HTTP or runs in this process. */
import type { JobView } from '../http/views/job.ts'
import type { BulkChangeView, LinePageView, LineView, RunPageView, RunView } from '../http/views/run.ts'
import type { SchedulePut } from '../http/validation.ts'
import type { ScheduleListView, ScheduleView } from '../http/views/schedule.ts'
import type { RecentView, StatsView, TaskListView, TaskStatsView, TaskView } from '../http/views/stats.ts'
import type { AnyTasks, RunTasksOf, TaskMap } from './run-tasks.ts'
import { createRunCalls, type EnqueueOptions, type NameOf, type RunTasksOptions } from './run-tasks.ts'
import type { Ask, JsonFormat, Send } from './transport.ts'
import { localWatchLimits, watch, type WatchEvent, watchLimits, type WatchOptions, watchRuns } from './watch.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
}

export interface NewerOptions extends CallOptions {
  /** The version that is known. */
  readonly ifNewerThan: number
  /** Seconds to wait for a newer version, 0–60; default: 0. */
  readonly waitS?: number
}

export interface TaskStatsOptions extends CallOptions {
  /** Default: an hour before `to`. */
  readonly from?: Date | string
  /** Exclusive; default: now. */
  readonly to?: Date | string
  /** How many minutes are added up, 1 to 1,440; default 1. There can be 2,000 steps. */
  readonly stepMinutes?: number
}

export interface LogOptions extends CallOptions {
  /** Only lines after the one with this id. */
  readonly after?: number
  /** 1 to 1,000; default 1,000. */
  readonly pageSize?: number
}

export interface RunFilter {
  readonly state?: RunView['state']
  /** Runs that have a job of this task. */
  readonly task?: string
  readonly tag?: string
  /** Runs whose inputs, results, errors, tags, tasks or id have all of these words; `decl*` finds longer ones. */
  readonly q?: string
  /** Exclusive. */
  readonly createdAfter?: Date | string
  readonly createdBefore?: Date | string
  /** 1 to 500; default 50. */
  readonly pageSize?: number
  /** `nextPageToken` of the page before. */
  readonly pageToken?: string
}

/** Which runs to change: at least one member besides `dryRun`. */
export interface BulkFilter extends Omit<RunFilter, 'pageSize' | 'pageToken'> {
  /** Only counts the runs. */
  readonly dryRun?: boolean
}

/**
 * Each call throws a `ProblemError` where the service refuses or fails, and what `fetch` throws where there is no answer.
 * `Tasks` maps the names of tasks to their definitions; with it the names, inputs and results are checked.
 */
export interface Client<Tasks extends TaskMap<Tasks> = AnyTasks> {
  /**
   * Runs tasks and resolves to the run with its answer, or as it is (`answer` null) where there is none yet: with
   * `respond: 'none'`, `respondAsync`, after `waitS`, or when the service leaves. Over HTTP, what may pass is tried five
   * times with one idempotency key, so that it makes one run; inside the process a refusal is thrown at once.
   * @throws ProblemError with `runId` where the deciding task failed
   */
  readonly runTasks: RunTasksOf<Tasks, RunTasksOptions>
  /**
   * Resolves to the run as soon as it is on disk. Its answer comes as `respond` says, and nobody waits for it: the first
   * job runs in the pool.
   */
  readonly enqueue: RunTasksOf<Tasks, EnqueueOptions>
  getRun(id: string, options?: CallOptions): Promise<RunView>
  /** Null where there is no newer version. */
  getRun(id: string, options: NewerOptions): Promise<RunView | null>
  getJob(id: string, jobIndex: number, options?: CallOptions): Promise<JobView>
  /** What the job was given; null where its request had no input. */
  getInput(id: string, jobIndex: number, options?: CallOptions): Promise<unknown>
  /** A page of what the run's tasks have logged, the oldest lines first; `after` is the id of a line. */
  getLog(id: string, options?: LogOptions): Promise<LinePageView>
  /** All of it. */
  allLines(id: string, options?: CallOptions): AsyncGenerator<LineView, void, undefined>
  /** One page, newest first, without results. */
  listRuns(filter?: RunFilter, options?: CallOptions): Promise<RunPageView>
  /** All pages one after the other. */
  allRuns(filter?: RunFilter, options?: CallOptions): AsyncGenerator<RunView, void, undefined>
  /** Resolves to the run with its results when it has ended, also with a failure. */
  waitForRun(id: string, options?: CallOptions): Promise<RunView>
  /** Cancels one job, or all of the run's that have not ended. */
  cancel(id: string, jobIndex?: number, options?: CallOptions): Promise<RunView>
  /** Queues a failed or cancelled job again. */
  retry(id: string, jobIndex: number, options?: CallOptions): Promise<RunView>
  /** Sends a webhook of the run again; `deliveryId` is the `id` of one of its `deliveries`. */
  retryDelivery(id: string, deliveryId: string, options?: CallOptions): Promise<RunView>
  /** Cancels every run that the filter matches; `changed` is the number of those that were running. */
  cancelRuns(filter: BulkFilter, options?: CallOptions): Promise<BulkChangeView>
  /** Queues the failed and cancelled jobs again of every run that the filter matches. */
  retryRuns(filter: BulkFilter, options?: CallOptions): Promise<BulkChangeView>
  /** Forgets a run that has ended. */
  remove(id: string, options?: CallOptions): Promise<void>
  /** By name. */
  listSchedules(options?: CallOptions): Promise<readonly ScheduleView[]>
  getSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  /** Makes a schedule, or replaces the one of that name. */
  putSchedule(name: string, schedule: SchedulePut, options?: CallOptions): Promise<ScheduleView>
  /** Its runs stay. */
  removeSchedule(name: string, options?: CallOptions): Promise<void>
  /** Makes a run of it now, which does not count as a tick. */
  runSchedule(name: string, options?: CallOptions): Promise<RunView>
  /** Until it is resumed, its ticks pass. */
  pauseSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  resumeSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  listTasks(options?: CallOptions): Promise<readonly TaskView[]>
  /** Has no job of the task start, in any process, until it is resumed; those that run go on. */
  pauseTask(name: string, options?: CallOptions): Promise<TaskView>
  resumeTask(name: string, options?: CallOptions): Promise<TaskView>
  /** What the task did, minute by minute. */
  taskStats(name: string, options?: TaskStatsOptions): Promise<TaskStatsView>
  stats(options?: CallOptions): Promise<StatsView>
  /** The last minutes of the process that answers. */
  recent(options?: CallOptions): Promise<RecentView>
  /**
   * Yields the current run, then each change, until the run ends. After a lost connection it reconnects and continues
   * from the last version; after ten failed tries it throws (in process: when the service stops).
   */
  watch(id: string, options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined>
  /**
   * Yields at once, and whenever runs were accepted or have changed: `changes` counts that since the last one. It ends, or
   * throws, with its connection.
   */
  watchRuns(options?: WatchOptions): AsyncGenerator<{ readonly changes: number }, void, undefined>
}

/** @param isRemote whether the service is on the other side of a network, or in this process */
export function createCalls(send: Send, isRemote: boolean, nameOf?: NameOf, json: JsonFormat = JSON): Client {
  const limits = isRemote ? watchLimits : localWatchLimits

  /** The body in the form that the contract gives it. */
  async function read<Body>(ask: Ask): Promise<Body> {
    const response = await send(ask)
    return json.parse(await response.text()) as Body
  }

  const post = <Body>(path: string, { signal }: CallOptions = {}, query: Ask['query'] = {}): Promise<Body> =>
    read({ method: 'POST', path, query, signal })

  function getRun(id: string, given?: CallOptions): Promise<RunView>
  function getRun(id: string, given: NewerOptions): Promise<RunView | null>
  async function getRun(id: string, given: Partial<NewerOptions> = {}): Promise<RunView | null> {
    const { ifNewerThan, waitS, signal } = given
    const headers = {
      ...(ifNewerThan !== undefined && { 'If-None-Match': `W/"${ifNewerThan}"` }),
      ...(waitS !== undefined && { Prefer: `wait=${waitS}` }),
    }
    const response = await send({ path: runPath(id), headers, signal })
    return response.status === 304 ? null : (json.parse(await response.text()) as RunView)
  }

  const listRuns = (filter: RunFilter = {}, { signal }: CallOptions = {}): Promise<RunPageView> =>
    read({ path: '/runs', query: { ...filter }, signal })

  async function* allRuns(filter: RunFilter = {}, given: CallOptions = {}): AsyncGenerator<RunView, void, undefined> {
    let page = await listRuns(filter, given)
    yield* page.runs
    while (page.nextPageToken !== null) {
      page = await listRuns({ ...filter, pageToken: page.nextPageToken }, given)
      yield* page.runs
    }
  }

  const getLog = (id: string, { signal, ...query }: LogOptions = {}): Promise<LinePageView> =>
    read({ path: `${runPath(id)}/log`, query, signal })

  async function* allLines(id: string, given: CallOptions = {}): AsyncGenerator<LineView, void, undefined> {
    for (let after = 0; ;) {
      const page = await getLog(id, { ...given, after })
      yield* page.lines
      if (!page.hasMore) return
      after = page.lines.at(-1)?.id ?? after
    }
  }

  async function waitForRun(id: string, { signal }: CallOptions = {}): Promise<RunView> {
    const given = signal === undefined ? {} : { signal }
    for (;;) {
      // Events leave large results out, and cost little; the run is read once, when it has ended.
      const watching = watch(send, id, given, limits, json)
      while ((await watching.next()).done !== true);
      const run = await getRun(id, given)
      // One of its jobs can have been queued again since.
      if (run.state !== 'running') return run
    }
  }

  return {
    // Which tasks there are is known to the types alone; the service checks what it is sent.
    ...(createRunCalls(send, isRemote, nameOf, json) as Pick<Client, 'runTasks' | 'enqueue'>),
    getRun,
    getJob: (id, jobIndex, { signal } = {}) => read({ path: jobPath(id, jobIndex), signal }),
    getInput: (id, jobIndex, { signal } = {}) => read({ path: `${jobPath(id, jobIndex)}/input`, signal }),
    getLog,
    allLines,
    listRuns,
    allRuns,
    waitForRun,
    cancelRuns: (filter, given) => post('/runs/cancel', given, { ...filter }),
    retryRuns: (filter, given) => post('/runs/retry', given, { ...filter }),
    cancel: (id, jobIndex, given) =>
      post(`${jobIndex === undefined ? runPath(id) : jobPath(id, jobIndex)}/cancel`, given),
    retry: (id, jobIndex, given) => post(`${jobPath(id, jobIndex)}/retry`, given),
    retryDelivery: (id, deliveryId, given) =>
      post(`${runPath(id)}/deliveries/${encodeURIComponent(deliveryId)}/retry`, given),
    async remove(id, { signal } = {}) {
      await send({ method: 'DELETE', path: runPath(id), signal })
    },
    listSchedules: async ({ signal } = {}) => (await read<ScheduleListView>({ path: '/schedules', signal })).schedules,
    getSchedule: (name, { signal } = {}) => read({ path: schedulePath(name), signal }),
    putSchedule: (name, schedule, { signal } = {}) =>
      read({ method: 'PUT', path: schedulePath(name), body: json.stringify(schedule), signal }),
    async removeSchedule(name, { signal } = {}) {
      await send({ method: 'DELETE', path: schedulePath(name), signal })
    },
    runSchedule: (name, given) => post(`${schedulePath(name)}/run`, given),
    pauseSchedule: (name, given) => post(`${schedulePath(name)}/pause`, given),
    resumeSchedule: (name, given) => post(`${schedulePath(name)}/resume`, given),
    listTasks: async ({ signal } = {}) => (await read<TaskListView>({ path: '/tasks', signal })).tasks,
    pauseTask: (name, given) => post(`${taskPath(name)}/pause`, given),
    resumeTask: (name, given) => post(`${taskPath(name)}/resume`, given),
    taskStats: (name, { signal, ...query } = {}) => read({ path: `${taskPath(name)}/stats`, query, signal }),
    stats: ({ signal } = {}) => read({ path: '/stats', signal }),
    recent: ({ signal } = {}) => read({ path: '/stats/recent', signal }),
    watch: (id, given) => watch(send, id, given, limits, json),
    watchRuns: (given) => watchRuns(send, given),
  }
}

function runPath(id: string): string {
  return `/runs/${encodeURIComponent(id)}`
}

function taskPath(name: string): string {
  return `/tasks/${encodeURIComponent(name)}`
}

function schedulePath(name: string): string {
  return `/schedules/${encodeURIComponent(name)}`
}

function jobPath(id: string, jobIndex: number): string {
  return `${runPath(id)}/jobs/${jobIndex}`
}
