/** Every route of the service, in the order in which they are shown. */
import type { Route } from './route.ts'
import { cancelJob, cancelRun, removeRun, retryJob, retryDelivery } from './routes/change-run.ts'
import { cancelRuns, retryRuns } from './routes/change-runs.ts'
import { getInput, getJob, getRun } from './routes/get-run.ts'
import { getLog } from './routes/get-log.ts'
import { livez, readyz } from './routes/health.ts'
import { listRuns } from './routes/list-runs.ts'
import { explainProblem, openapi, root } from './routes/documentation.ts'
import { runTasks } from './routes/run-tasks.ts'
import {
  getSchedule,
  listSchedules,
  pauseSchedule,
  putSchedule,
  removeSchedule,
  resumeSchedule,
  runSchedule,
} from './routes/schedules.ts'
import { prometheus, recent, stats } from './routes/stats.ts'
import { taskStats } from './routes/task-stats.ts'
import { listTasks, pauseTask, resumeTask } from './routes/tasks.ts'
import { watchRun, watchRuns } from './routes/watch-runs.ts'

export const routeTable: readonly Route[] = [
  runTasks,
  listRuns,
  cancelRuns,
  retryRuns,
  watchRuns,
  getRun,
  getJob,
  getInput,
  getLog,
  watchRun,
  cancelRun,
  cancelJob,
  retryJob,
  retryDelivery,
  removeRun,
  listSchedules,
  getSchedule,
  putSchedule,
  removeSchedule,
  runSchedule,
  pauseSchedule,
  resumeSchedule,
  listTasks,
  taskStats,
  pauseTask,
  resumeTask,
  stats,
  recent,
  prometheus,
  livez,
  readyz,
  openapi,
  explainProblem,
  root,
]
