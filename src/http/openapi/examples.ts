/** Examples for the OpenAPI document: one run of the tasks that come with the service, and each problem. */
import { type ProblemCode, type ProblemMembers, problems } from '../../domain/problems.ts'
import type { RunInput, SchedulePut } from '../validation.ts'
import type { JobView } from '../views/job.ts'
import type { StandardMembers } from '../problem.ts'
import type { RunView } from '../views/run.ts'
import type { ScheduleView } from '../views/schedule.ts'

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
  waiting: null,
  waitsFor: [],
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

export const listedRunExample: RunView = { ...unanswered, jobs: [listedJob] }

export const schedulePutExample: SchedulePut = {
  cron: '0 3 * * *',
  timeZone: 'Europe/Berlin',
  request: { tasks: [{ name: 'first' }] },
}

export const scheduleExample: ScheduleView = {
  name: 'nightly',
  cron: '0 3 * * *',
  timeZone: 'Europe/Berlin',
  request: { tasks: [{ name: 'first' }], respond: 'none', onFirstFailure: 'continue', tags: [] },
  missed: 'one',
  paused: false,
  declared: false,
  nextAt: '2026-11-24T02:00:00.000Z',
  lastAt: '2026-11-23T02:00:00.000Z',
  lastRunId: id,
  problem: null,
  links: {
    self: '/schedules/nightly',
    runs: '/runs?tag=schedule%3Anightly',
    run: '/schedules/nightly/run',
    pause: '/schedules/nightly/pause',
    resume: '/schedules/nightly/resume',
  },
}

const failedJob = {
  ...completedJob,
  state: 'failed',
  result: null,
  error: { code: 'task_error', message: 'no such file', name: 'Error', taskCode: 'ENOENT' },
} as const satisfies JobView

const ownErrors: Partial<Record<ProblemCode, ProblemMembers['errors']>> = {
  'validation-error': [{ pointer: '/tasks/0/priority', detail: 'Too big: expected number to be <=9' }],
  'unknown-task': [{ pointer: '/tasks/0/name', detail: 'no task is named "frist"' }],
  'too-many-tasks': [{ pointer: '/tasks', detail: '101 tasks are more than the 100 of one run' }],
}

export function problemExample(code: ProblemCode): StandardMembers & ProblemMembers {
  const { title, status, meaning, members = [] } = problems[code]
  const own: Required<ProblemMembers> = {
    runId: id,
    jobIndex: members.includes('jobs') ? null : 0,
    errors: ownErrors[code] ?? [],
    error: failedJob.error,
    jobs: [code === 'tasks-failed' ? completedJob : failedJob, { ...failedJob, index: 1 }],
  }
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail: meaning,
    instance: members.includes('runId') ? `/runs/${id}` : '/run-tasks',
    ...Object.fromEntries(members.map((name) => [name, own[name]])),
  }
}
