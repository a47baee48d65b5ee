/** Every call of a service. The client sends them over HTTP, the library within the process. */
import type { JobView } from '../http/views/job.ts'
import type { BulkChangeView, LinePageView, LineView, RunPageView, RunView } from '../http/views/run.ts'
import type { SchedulePut } from '../http/validation.ts'
import type { ScheduleListView, ScheduleView } from '../http/views/schedule.ts'
import type { RecentView, StatsView, TaskListView, TaskStatsView, TaskView } from '../http/views/stats.ts'
import {
  type AnyTasks,
  createRunCalls,
  type EnqueueOptions,
  type NameOf,
  type RunTasksOf,
  type RunTasksOptions,
  type TaskMap,
} from './run-tasks.ts'
import type { ServiceRequest, Transport } from './transport.ts'
import { watch, type WatchEvent, type WatchOptions, watchRuns } from './watch.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
}

export interface NewerOptions extends CallOptions {
  /** The version that the caller has. */
  readonly ifNewerThan: number
  /** Seconds to wait for a newer version, 0–60. Default: 0. */
  readonly waitS?: number
}

export interface TaskStatsOptions extends CallOptions {
  /** Default: one hour before `to`. */
  readonly from?: Date | string
  /** Exclusive. Default: now. */
  readonly to?: Date | string
  /** The length of a step in minutes, 1 to 1,440. Default: 1. There can be 2,000 steps. */
  readonly stepMinutes?: number
}

export interface LogOptions extends CallOptions {
  /** The id of a line: only lines after it are returned. */
  readonly after?: number
  /** 1 to 1,000. Default: 1,000. */
  readonly pageSize?: number
}

export interface RunFilter {
  readonly state?: RunView['state']
  /** Runs that have a job of this task. */
  readonly task?: string
  readonly tag?: string
  /** Words that must all occur in the inputs, results, errors, tags, tasks or id of the run. `decl*` matches longer words. */
  readonly q?: string
  /** Exclusive. */
  readonly createdAfter?: Date | string
  /** Exclusive. */
  readonly createdBefore?: Date | string
  /** 1 to 500. Default: 50. */
  readonly pageSize?: number
  /** `nextPageToken` of the previous page. */
  readonly pageToken?: string
}

/** The runs to change. At least one member besides `dryRun` is needed. */
export interface BulkFilter extends Omit<RunFilter, 'pageSize' | 'pageToken'> {
  /** Only counts the runs. */
  readonly dryRun?: boolean
}

/**
 * Each call throws a `ProblemError` if the service refuses or fails, and what `fetch` throws if there is no response.
 * `Tasks` maps the names of tasks to their definitions, so that names, inputs and results are checked.
 */
export interface Client<Tasks extends TaskMap<Tasks> = AnyTasks> {
  /**
   * Runs tasks and resolves to the run with its answer. The answer is null with `respond: 'none'`, with `respondAsync`, after
   * `waitS`, and when the service stops. Over HTTP, a request that fails temporarily is tried five times with one
   * idempotency key, so that it creates one run. Within the process a refusal is thrown at once.
   * @throws ProblemError with `runId` if the deciding task failed
   */
  readonly runTasks: RunTasksOf<Tasks, RunTasksOptions>
  /**
   * Resolves to the run as soon as it is on disk. `respond` still sets how the answer is decided. Since no caller waits for
   * it, the first job runs in the pool.
   */
  readonly enqueue: RunTasksOf<Tasks, EnqueueOptions>
  getRun(id: string, options?: CallOptions): Promise<RunView>
  /** Resolves to null if there is no newer version. */
  getRun(id: string, options: NewerOptions): Promise<RunView | null>
  getJob(id: string, jobIndex: number, options?: CallOptions): Promise<JobView>
  /** The input of the job; null if its request had none. */
  getInput(id: string, jobIndex: number, options?: CallOptions): Promise<unknown>
  /** One page of the lines that the run's tasks have logged, the oldest first. */
  getLog(id: string, options?: LogOptions): Promise<LinePageView>
  /** All lines, page after page. */
  allLines(id: string, options?: CallOptions): AsyncGenerator<LineView, void, undefined>
  /** One page, newest first, without results. */
  listRuns(filter?: RunFilter, options?: CallOptions): Promise<RunPageView>
  /** All runs, page after page. */
  allRuns(filter?: RunFilter, options?: CallOptions): AsyncGenerator<RunView, void, undefined>
  /** Resolves to the run with its results when it has ended, whether it succeeded or failed. */
  waitForRun(id: string, options?: CallOptions): Promise<RunView>
  /** Cancels one job, or all jobs of the run that have not ended. */
  cancel(id: string, jobIndex?: number, options?: CallOptions): Promise<RunView>
  /** Queues a failed or cancelled job again. */
  retry(id: string, jobIndex: number, options?: CallOptions): Promise<RunView>
  /** Sends a webhook of the run again. `deliveryId` is the `id` of one of its `deliveries`. */
  retryDelivery(id: string, deliveryId: string, options?: CallOptions): Promise<RunView>
  /** Cancels every run that the filter matches. `changed` counts those that were running. */
  cancelRuns(filter: BulkFilter, options?: CallOptions): Promise<BulkChangeView>
  /** Queues the failed and cancelled jobs of every run that the filter matches again. */
  retryRuns(filter: BulkFilter, options?: CallOptions): Promise<BulkChangeView>
  /** Deletes a run that has ended. */
  remove(id: string, options?: CallOptions): Promise<void>
  /** Sorted by name. */
  listSchedules(options?: CallOptions): Promise<readonly ScheduleView[]>
  getSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  /** Creates a schedule, or replaces the one of that name. */
  putSchedule(name: string, schedule: SchedulePut, options?: CallOptions): Promise<ScheduleView>
  /** Deletes the schedule, but not its runs. */
  removeSchedule(name: string, options?: CallOptions): Promise<void>
  /** Creates a run of the schedule now. It does not count as a tick. */
  runSchedule(name: string, options?: CallOptions): Promise<RunView>
  /** Ticks create no runs until the schedule is resumed. */
  pauseSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  resumeSchedule(name: string, options?: CallOptions): Promise<ScheduleView>
  listTasks(options?: CallOptions): Promise<readonly TaskView[]>
  /** Until the task is resumed, none of its jobs start in any process. Running jobs go on. */
  pauseTask(name: string, options?: CallOptions): Promise<TaskView>
  resumeTask(name: string, options?: CallOptions): Promise<TaskView>
  /** What the task did in each step of time. */
  taskStats(name: string, options?: TaskStatsOptions): Promise<TaskStatsView>
  stats(options?: CallOptions): Promise<StatsView>
  /** The last minutes of the process that responds. */
  recent(options?: CallOptions): Promise<RecentView>
  /**
   * Yields the current run, then each change, until the run ends. After a lost connection it reconnects and goes on from
   * the last version. It throws after more than ten failed tries in a row, or, within the process, when the service stops.
   */
  watch(id: string, options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined>
  /**
   * Yields at once, and then whenever runs were accepted or have changed. `changes` counts both since the previous event.
   * Ends or throws when its connection does.
   */
  watchRuns(options?: WatchOptions): AsyncGenerator<{ readonly changes: number }, void, undefined>
}

export function createCalls(transport: Transport, nameOf?: NameOf): Client {
  const { send, read, json } = transport

  const get = <Body>(path: string, { signal }: CallOptions = {}, query: ServiceRequest['query'] = {}): Promise<Body> =>
    read({ path, query, signal })
  const post = <Body>(path: string, { signal }: CallOptions = {}, query: ServiceRequest['query'] = {}): Promise<Body> =>
    read({ method: 'POST', path, query, signal })
  const remove = async (path: string, { signal }: CallOptions = {}): Promise<void> => {
    await send({ method: 'DELETE', path, signal })
  }

  function getRun(id: string, options?: CallOptions): Promise<RunView>
  function getRun(id: string, options: NewerOptions): Promise<RunView | null>
  async function getRun(id: string, options: Partial<NewerOptions> = {}): Promise<RunView | null> {
    const { ifNewerThan, waitS, signal } = options
    const headers = {
      ...(ifNewerThan !== undefined && { 'If-None-Match': `W/"${ifNewerThan}"` }),
      ...(waitS !== undefined && { Prefer: `wait=${waitS}` }),
    }
    const response = await send({ path: runPath(id), headers, signal })
    return response.status === 304 ? null : (json.parse(await response.text()) as RunView)
  }

  const listRuns = (filter: RunFilter = {}, options?: CallOptions): Promise<RunPageView> =>
    get('/runs', options, { ...filter })

  async function* allRuns(filter: RunFilter = {}, options?: CallOptions): AsyncGenerator<RunView, void, undefined> {
    let page = await listRuns(filter, options)
    yield* page.runs
    while (page.nextPageToken !== null) {
      page = await listRuns({ ...filter, pageToken: page.nextPageToken }, options)
      yield* page.runs
    }
  }

  const getLog = (id: string, { signal, ...query }: LogOptions = {}): Promise<LinePageView> =>
    read({ path: `${runPath(id)}/log`, query, signal })

  async function* allLines(id: string, options?: CallOptions): AsyncGenerator<LineView, void, undefined> {
    let after = 0
    for (;;) {
      const { lines, hasMore } = await getLog(id, { ...options, after })
      yield* lines
      if (!hasMore) return
      after = lines.at(-1)?.id ?? after
    }
  }

  async function waitForRun(id: string, { signal }: CallOptions = {}): Promise<RunView> {
    // The caller's object may have other members, such as `ifNewerThan`, with which `getRun` could return null.
    const options = signal === undefined ? {} : { signal }
    for (;;) {
      // Events cost little, because they leave out large results. The whole run is read once it has ended.
      const events = watch(transport, id, options)
      // They end with the run.
      while ((await events.next()).done !== true);
      const run = await getRun(id, options)
      // A job may have been queued again since the run ended.
      if (run.state !== 'running') return run
    }
  }

  return {
    // Only the types know the tasks. The service checks each request.
    ...(createRunCalls(transport, nameOf) as Pick<Client, 'runTasks' | 'enqueue'>),
    getRun,
    getJob: (id, jobIndex, options) => get(jobPath(id, jobIndex), options),
    getInput: (id, jobIndex, options) => get(`${jobPath(id, jobIndex)}/input`, options),
    getLog,
    allLines,
    listRuns,
    allRuns,
    waitForRun,
    cancelRuns: (filter, options) => post('/runs/cancel', options, { ...filter }),
    retryRuns: (filter, options) => post('/runs/retry', options, { ...filter }),
    cancel: (id, jobIndex, options) =>
      post(`${jobIndex === undefined ? runPath(id) : jobPath(id, jobIndex)}/cancel`, options),
    retry: (id, jobIndex, options) => post(`${jobPath(id, jobIndex)}/retry`, options),
    retryDelivery: (id, deliveryId, options) =>
      post(`${runPath(id)}/deliveries/${encodeURIComponent(deliveryId)}/retry`, options),
    remove: (id, options) => remove(runPath(id), options),
    listSchedules: async (options) => (await get<ScheduleListView>('/schedules', options)).schedules,
    getSchedule: (name, options) => get(schedulePath(name), options),
    putSchedule: (name, schedule, { signal } = {}) =>
      read({ method: 'PUT', path: schedulePath(name), body: json.stringify(schedule), signal }),
    removeSchedule: (name, options) => remove(schedulePath(name), options),
    runSchedule: (name, options) => post(`${schedulePath(name)}/run`, options),
    pauseSchedule: (name, options) => post(`${schedulePath(name)}/pause`, options),
    resumeSchedule: (name, options) => post(`${schedulePath(name)}/resume`, options),
    listTasks: async (options) => (await get<TaskListView>('/tasks', options)).tasks,
    pauseTask: (name, options) => post(`${taskPath(name)}/pause`, options),
    resumeTask: (name, options) => post(`${taskPath(name)}/resume`, options),
    taskStats: (name, { signal, ...query } = {}) => read({ path: `${taskPath(name)}/stats`, query, signal }),
    stats: (options) => get('/stats', options),
    recent: (options) => get('/stats/recent', options),
    watch: (id, options) => watch(transport, id, options),
    watchRuns: (options) => watchRuns(transport, options),
  }
}

function runPath(id: string): string {
  return `/runs/${encodeURIComponent(id)}`
}

function jobPath(id: string, jobIndex: number): string {
  return `${runPath(id)}/jobs/${jobIndex}`
}

function taskPath(name: string): string {
  return `/tasks/${encodeURIComponent(name)}`
}

function schedulePath(name: string): string {
  return `/schedules/${encodeURIComponent(name)}`
}
