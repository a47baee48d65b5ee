/** Entry of `forerunner/client`, the client for programs in Node and in browsers. It needs nothing but `fetch`. */
import type { AnyTasks, TaskMap } from './run-tasks.ts'
import { createTransport, type TransportOptions } from './transport.ts'
import { type Client, createCalls } from './calls.ts'

export type { AsJson } from '../domain/json.ts'
export type { RunInput, SchedulePut } from '../http/validation.ts'
export type { JobView } from '../http/views/job.ts'
export type { BulkChangeView, LinePageView, LineView, RunPageView, RunView } from '../http/views/run.ts'
export type { ScheduleView } from '../http/views/schedule.ts'
export type { RecentView, StatsView, TaskStatsView, TaskView } from '../http/views/stats.ts'
export type { JobOptions, TaskCall } from '../domain/task.ts'
export { ProblemError, type ProblemErrorCode } from './transport.ts'
export type { AnyTasks, RunOf, TaskEntry, TaskMap } from './run-tasks.ts'
export type { EnqueueOptions, RunTasksOptions } from './run-tasks.ts'
export type { BulkFilter, CallOptions, Client, LogOptions, NewerOptions, RunFilter, TaskStatsOptions } from './calls.ts'
export type { WatchEvent, WatchOptions } from './watch.ts'

export type ClientOptions = TransportOptions

/** @throws TypeError for an invalid base URL */
export function createClient<Tasks extends TaskMap<Tasks> = AnyTasks>(options: ClientOptions): Client<Tasks>
export function createClient(options: ClientOptions): Client {
  return createCalls(createTransport(options))
}
