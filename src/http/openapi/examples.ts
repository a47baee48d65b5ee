/** Examples for the OpenAPI document, of one run of the tasks that come with the service. */
import { problems, type ProblemCode, type ProblemMembers } from '../../domain/errors.ts'
import type { RunInput } from '../run-schema.ts'
import type { JobView, RunView } from '../run-view.ts'
import type { StandardMembers } from '../schemas/problem.ts'
import type { RecentView } from '../schemas/recent.ts'
import type { BulkChangeView, RunPageView } from '../schemas/run.ts'
import type { ProblemPageView, StatsView, TaskListView } from '../schemas/service.ts'

const id = '01a2071d-0a4a-7200-89ea-c1db971bb6b7'
const createdAt = '2026-11-23T06:34:33.419Z'
const respondedAt = '2026-11-23T06:34:34.430Z'

export const runRequestExample: RunInput = {
  tasks: [{ name: 'first' }, { name: 'second', timeoutMs: 60_000, maxAttempts: 5, priority: 5 }],
  respond: 'first',
  tags: ['order:42'],
}

const completedJob: JobView = {
  index: 0,
  task: 'first',
  state: 'completed',
  thread: 'main',
  attempt: 1,
  maxAttempts: 1,
  queuedAt: createdAt,
  startedAt: createdAt,
  finishedAt: respondedAt,
  runAt: null,
  progress: null,
  result: 'First result',
  error: null,
  failures: [],
}

export const jobExample: JobView = {
  ...completedJob,
  index: 1,
  task: 'second',
  state: 'running',
  thread: 'worker-2',
  maxAttempts: 5,
  finishedAt: null,
  progress: 0.25,
  result: null,
}

export const runExample: RunView = {
  id,
  state: 'running',
  version: 3,
  result: 'First result',
  answer: { mode: 'first', jobIndex: 0 },
  createdAt,
  respondedAt,
  finishedAt: null,
  tags: ['order:42'],
  jobs: [completedJob, jobExample],
  links: { self: `/runs/${id}`, events: `/runs/${id}/events`, cancel: `/runs/${id}/cancel` },
}

const { result: _answer, ...unanswered } = runExample

export const waitingRunExample: RunView = {
  ...unanswered,
  version: 1,
  answer: null,
  respondedAt: null,
  jobs: [{ ...jobExample, index: 0, task: 'first', state: 'queued', thread: null, attempt: 0, startedAt: null }],
}

const { result: _left, failures: _failures, ...listedJob } = jobExample

export const runPageExample: RunPageView = {
  runs: [{ ...unanswered, jobs: [listedJob] }],
  nextPageToken: 'MDFhMjA3MWQtMGE0YS03MjAwLTg5ZWEtYzFkYjk3MWJiNmI3',
  pageSize: 50,
}

export const bulkChangeExample: BulkChangeView = { matched: 12, changed: 9 }

export const eventsExample = `id: 3\nevent: run\ndata: ${JSON.stringify(runExample)}\n\nevent: progress\ndata: {"jobIndex":1,"progress":0.5}\n\n`

export const taskListExample: TaskListView = {
  tasks: [
    {
      name: 'first',
      kind: 'io',
      timeoutMs: 60_000,
      maxAttempts: 3,
      memoryMb: 512,
      main: 'auto',
      concurrency: null,
      input: null,
    },
  ],
}

export const statsExample: StatsView = {
  runs: { running: 1, completed: 41, failed: 0, cancelled: 0 },
  jobs: { queued: 0, running: 1, retrying: 0, completed: 83, failed: 0, cancelled: 0 },
  backlog: 1,
  oldestQueuedMs: null,
  unknownTasks: {},
  lostClaims: 0,
  threads: [{ name: 'worker-1', kind: 'cpu', state: 'ready', running: 1, busyShare: 0.12 }],
  eventLoopDelayMs: { p50: 0.1, p99: 1.2, max: 4.7 },
  conservation: { accepted: 84, final: 83, live: 1, lost: 0 },
}

const [quick, waited] = [
  { count: 41, p50: 2.1, p99: 9.4 },
  { count: 42, p50: 0.4, p99: 31 },
]
export const recentExample: RecentView = {
  windowMs: 300_000,
  firstResponseMs: quick,
  queueWaitMs: waited,
  running: [
    { thread: 'worker-1', runId: id, jobIndex: 1, task: 'second', attempt: 1, startedAt: '2026-11-28T12:00:00.005Z' },
  ],
  tasks: [{ name: 'second', completed: 41, failed: 1, retried: 0, waitMs: waited, runMs: quick }],
  slotMs: 10_000,
  slots: [
    {
      at: '2026-11-28T12:00:00.000Z',
      accepted: 3,
      final: 2,
      backlog: 1,
      firstResponseMs: quick,
      queueWaitMs: waited,
      eventLoopDelayMs: 1.2,
      cpuShare: 0.04,
    },
  ],
}

const { status, title, isRetryable, meaning, remedy } = problems['run-not-found']
export const problemPageExample: ProblemPageView = {
  type: '/problems/run-not-found',
  title,
  status,
  isRetryable,
  meaning,
  remedy,
}

export const metricsExample = '# TYPE forerunner_backlog gauge\nforerunner_backlog 1\n'

const failedJob = {
  ...completedJob,
  state: 'failed',
  result: null,
  error: { code: 'task_error', message: 'no such file', name: 'Error', taskCode: 'ENOENT' },
} as const satisfies JobView

const ownMembers: Partial<Record<ProblemCode, ProblemMembers>> = {
  'validation-error': { errors: [{ pointer: '/tasks/0/priority', detail: 'Too big: expected number to be <=9' }] },
  'unknown-task': { errors: [{ pointer: '/tasks/0/name', detail: 'no task is named "frist"' }] },
  'too-many-tasks': { errors: [{ pointer: '/tasks', detail: '101 tasks are more than the 100 of one run' }] },
  'job-not-found': { runId: id },
  'idempotency-in-progress': { runId: id },
  'idempotency-key-reused': { runId: id },
  'not-cancellable': { runId: id },
  'not-retryable': { runId: id },
  'run-active': { runId: id },
  'first-task-failed': { runId: id, jobIndex: 0, error: failedJob.error },
  'all-tasks-failed': { runId: id, jobIndex: null, jobs: [failedJob] },
  'tasks-failed': { runId: id, jobIndex: null, jobs: [completedJob, { ...failedJob, index: 1 }] },
}

export function problemExample(code: ProblemCode): StandardMembers & ProblemMembers {
  const { title: name, status: standard, meaning: detail } = problems[code]
  const members = ownMembers[code] ?? {}
  const instance = members.runId === undefined ? '/run-tasks' : `/runs/${id}`
  return { type: `/problems/${code}`, title: name, status: standard, detail, instance, ...members }
}
