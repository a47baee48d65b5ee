/** Every route of the service, in the order in which they are shown. */
import type { Route } from './route.ts'
import { cancelJob, cancelRun } from './routes/cancel.ts'
import { cancelRuns, retryRuns } from './routes/change-runs.ts'
import { getJob } from './routes/get-job.ts'
import { getRun } from './routes/get-run.ts'
import { livez, readyz } from './routes/health.ts'
import { listRuns } from './routes/list-runs.ts'
import { metrics } from './routes/metrics.ts'
import { openapi } from './routes/openapi.ts'
import { explainProblem } from './routes/problems.ts'
import { recent } from './routes/recent.ts'
import { removeRun } from './routes/remove-run.ts'
import { retryJob } from './routes/retry.ts'
import { root } from './routes/root.ts'
import { runTasks } from './routes/run-tasks.ts'
import { stats } from './routes/stats.ts'
import { listTasks } from './routes/tasks.ts'
import { watchRuns } from './routes/watch-runs.ts'
import { watchRun } from './routes/watch-run.ts'

export const routeTable: readonly Route[] = [
  runTasks,
  listRuns,
  cancelRuns,
  retryRuns,
  watchRuns,
  getRun,
  getJob,
  watchRun,
  cancelRun,
  cancelJob,
  retryJob,
  removeRun,
  listTasks,
  stats,
  recent,
  metrics,
  livez,
  readyz,
  openapi,
  explainProblem,
  root,
]
