/** The service for programs in TypeScript, in Node and in browsers. It needs `fetch` and nothing else. */
import type { RunInput } from '../http/run-schema.ts'
import type { JobView, RunView } from '../http/run-view.ts'
import type { RunPageView } from '../http/schemas/run.ts'
import type { StatsView, TaskListView, TaskView } from '../http/schemas/service.ts'
import { runTasks, type RunTasksOptions } from './run-tasks.ts'
import { createSend, type Ask, type TransportOptions } from './transport.ts'
import { watch, type WatchEvent, type WatchOptions } from './watch.ts'

export { ProblemError, type ProblemErrorCode } from './problem-error.ts'
export type { JobView, RunInput, RunPageView, RunTasksOptions, RunView, StatsView, TaskView, WatchEvent, WatchOptions }

export type ClientOptions = TransportOptions

export interface CallOptions {
  readonly signal?: AbortSignal
}

export interface NewerOptions extends CallOptions {
  /** The version that is known. */
  readonly ifNewerThan: number
  /** How long to wait for a newer one, in seconds, 60 at the most; default: not at all. */
  readonly waitS?: number
}

export interface RunFilter {
  readonly state?: RunView['state']
  /** Runs that have a job of this task. */
  readonly task?: string
  readonly tag?: string
  /** Exclusive. */
  readonly createdAfter?: Date | string
  readonly createdBefore?: Date | string
  /** 1 to 500; default 50. */
  readonly pageSize?: number
  /** `nextPageToken` of the page before. */
  readonly pageToken?: string
}

/**
 * Each call throws a `ProblemError` where the service refuses or fails, and what `fetch` throws where there is no answer.
 */
export interface Client {
  /**
   * Runs tasks and resolves to the run with its answer, or as it is (`answer` null) where there is none yet: with
   * `respond: 'none'`, `respondAsync`, after `waitS`, or when the service leaves. What may pass is tried five times with
   * one idempotency key, so that it makes one run.
   * @throws ProblemError with `runId` where the deciding task failed
   */
  runTasks(request?: RunInput, options?: RunTasksOptions): Promise<RunView>
  getRun(id: string, options?: CallOptions): Promise<RunView>
  /** Null where there is no newer version. */
  getRun(id: string, options: NewerOptions): Promise<RunView | null>
  getJob(id: string, jobIndex: number, options?: CallOptions): Promise<JobView>
  /** One page, newest first, without results. */
  listRuns(filter?: RunFilter, options?: CallOptions): Promise<RunPageView>
  /** All pages one after the other. */
  allRuns(filter?: RunFilter, options?: CallOptions): AsyncGenerator<RunView, void, undefined>
  /** Cancels one job, or all of the run's that have not ended. */
  cancel(id: string, jobIndex?: number, options?: CallOptions): Promise<RunView>
  /** Queues a failed or cancelled job again. */
  retry(id: string, jobIndex: number, options?: CallOptions): Promise<RunView>
  /** Forgets a run that has ended. */
  remove(id: string, options?: CallOptions): Promise<void>
  listTasks(options?: CallOptions): Promise<readonly TaskView[]>
  stats(options?: CallOptions): Promise<StatsView>
  /**
   * The run as it is and whenever it changes, until it has ended. A connection that is cut is made anew and goes on
   * where it was; after ten tries in vain it throws.
   */
  watch(id: string, options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined>
}

/** @throws TypeError for a base URL that is none */
export function createClient(options: ClientOptions): Client {
  const send = createSend(options)

  /** The body in the form that the contract gives it. */
  async function read<Body>(ask: Ask): Promise<Body> {
    const response = await send(ask)
    return (await response.json()) as Body
  }

  function getRun(id: string, given?: CallOptions): Promise<RunView>
  function getRun(id: string, given: NewerOptions): Promise<RunView | null>
  async function getRun(id: string, given: Partial<NewerOptions> = {}): Promise<RunView | null> {
    const { ifNewerThan, waitS, signal } = given
    const headers = {
      ...(ifNewerThan !== undefined && { 'If-None-Match': `W/"${ifNewerThan}"` }),
      ...(waitS !== undefined && { Prefer: `wait=${waitS}` }),
    }
    const response = await send({ path: runPath(id), headers, signal })
    return response.status === 304 ? null : ((await response.json()) as RunView)
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

  return {
    runTasks: (request, given) => runTasks(send, request, given),
    getRun,
    getJob: (id, jobIndex, { signal } = {}) => read({ path: jobPath(id, jobIndex), signal }),
    listRuns,
    allRuns,
    cancel(id, jobIndex, { signal } = {}) {
      const what = jobIndex === undefined ? runPath(id) : jobPath(id, jobIndex)
      return read({ method: 'POST', path: `${what}/cancel`, signal })
    },
    retry: (id, jobIndex, { signal } = {}) => read({ method: 'POST', path: `${jobPath(id, jobIndex)}/retry`, signal }),
    async remove(id, { signal } = {}) {
      await send({ method: 'DELETE', path: runPath(id), signal })
    },
    listTasks: async ({ signal } = {}) => (await read<TaskListView>({ path: '/tasks', signal })).tasks,
    stats: ({ signal } = {}) => read({ path: '/stats', signal }),
    watch: (id, given) => watch(send, id, given),
  }
}

function runPath(id: string): string {
  return `/runs/${encodeURIComponent(id)}`
}

function jobPath(id: string, jobIndex: number): string {
  return `${runPath(id)}/jobs/${jobIndex}`
}
