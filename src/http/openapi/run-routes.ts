/** The routes that make, show and end runs. */
import { z } from 'zod'
import { filterSchema, type BulkQuery, type ListQuery } from '../run-schema.ts'
import {
  bulkChangeExample,
  eventsExample,
  jobExample,
  runExample,
  runPageExample,
  runRequestExample,
  waitingRunExample,
} from './examples.ts'
import type { Answer, QueryParameter, Route } from './route.ts'

const { state, task, tag, createdAfter, createdBefore, q, pageToken } = filterSchema.shape

const runFilter = {
  state: { schema: state },
  task: { schema: task, description: 'runs that have a job of this task' },
  tag: { schema: tag },
  createdAfter: { schema: createdAfter, description: 'exclusive' },
  createdBefore: { schema: createdBefore, description: 'exclusive' },
  q: {
    schema: q,
    description:
      'runs whose inputs, results, errors, tags, tasks or id have all of these words; `*` behind at least three letters finds longer words',
  },
}

const listQuery: Record<keyof ListQuery, QueryParameter> = {
  ...runFilter,
  // Arrives as text, and is a number to whoever sends it.
  pageSize: { schema: z.int().min(1).default(50), description: 'above 500 it is 500, as `pageSize` of the page says' },
  pageToken: { schema: pageToken, description: '`nextPageToken` of the page before' },
}

const bulkQuery: Record<keyof BulkQuery, QueryParameter> = {
  ...runFilter,
  dryRun: { schema: z.boolean().default(false), description: 'only counts' },
}

const bulkChange = (description: string): Pick<Route, 'area' | 'query' | 'answers' | 'description'> => ({
  description:
    'At least one filter is needed. It goes through the runs a batch at a time, from the newest to the oldest, and answers when it is done; a caller that goes away ends it.',
  area: 'runs',
  query: bulkQuery,
  answers: [{ status: 200, description, json: ['BulkChange'], example: bulkChangeExample, headers: ['Cache-Control'] }],
})

const wholeRun = { json: ['Run'], example: runExample, headers: ['Cache-Control'] } as const
const cancelAnswers: readonly Answer[] = [
  { status: 202, description: 'The cancel takes effect; the run as it is now.', ...wholeRun },
  { status: 200, description: 'It was cancelled before; the run as it is now.', ...wholeRun },
]

export const runRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/run-tasks',
    operationId: 'runTasks',
    summary: 'runs tasks and answers with the first result',
    description:
      'Without a body it runs `first`, `second` and `third`. `respond` says what the answer is: the first job’s result (`first`), that of the first to end (`race`) or to succeed (`any`), one result per job (`all`), or nothing (`none`).',
    area: 'runs',
    headers: ['Prefer', 'Idempotency-Key'],
    bodyExample: runRequestExample,
    answers: [
      {
        status: 200,
        description: 'The answer; the other jobs may go on.',
        json: ['Run', 'MinimalRun'],
        example: runExample,
        headers: ['Content-Location', 'Link', 'Cache-Control'],
        mayHave: ['Server-Timing', 'Preference-Applied', 'Idempotency-Replayed'],
      },
      {
        status: 202,
        description: 'The run is accepted and has no answer yet.',
        json: ['Run', 'MinimalRun'],
        example: waitingRunExample,
        headers: ['Location', 'Retry-After', 'Content-Location', 'Link', 'Cache-Control'],
        mayHave: ['Server-Timing', 'Preference-Applied', 'Idempotency-Replayed'],
      },
    ],
    problems: [
      'malformed-json',
      'idempotency-key-invalid',
      'idempotency-in-progress',
      'content-too-large',
      'unsupported-media-type',
      'body-already-read',
      'validation-error',
      'unknown-task',
      'too-many-tasks',
      'idempotency-key-reused',
      'first-task-failed',
      'all-tasks-failed',
      'tasks-failed',
      'overloaded',
      'shutting-down',
      'store-unavailable',
    ],
  },
  {
    method: 'GET',
    path: '/runs',
    operationId: 'listRuns',
    summary: 'lists the runs, newest first',
    area: 'runs',
    query: listQuery,
    headers: ['If-None-Match'],
    answers: [
      {
        status: 200,
        description: 'One page. While there are more, `Link` names the next.',
        json: ['RunPage'],
        example: runPageExample,
        headers: ['ETag', 'Cache-Control'],
        mayHave: ['Link'],
      },
      { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'], mayHave: ['Link'] },
    ],
    problems: ['invalid-filter', 'invalid-page-token', 'overloaded', 'store-unavailable'],
  },
  {
    method: 'POST',
    path: '/runs/cancel',
    operationId: 'cancelRuns',
    summary: 'cancels every run that the filter matches',
    ...bulkChange('How many runs match, and how many of them were running and are cancelled.'),
    problems: ['invalid-filter', 'overloaded', 'shutting-down', 'store-unavailable'],
  },
  {
    method: 'POST',
    path: '/runs/retry',
    operationId: 'retryRuns',
    summary: 'queues the failed and cancelled jobs again of every run that the filter matches',
    ...bulkChange('How many runs match, and of how many of them jobs were queued again.'),
    problems: ['invalid-filter', 'overloaded', 'shutting-down', 'store-unavailable'],
  },
  {
    method: 'GET',
    path: '/runs/{id}',
    operationId: 'getRun',
    summary: 'shows a run and its jobs',
    description:
      'With `If-None-Match` and `Prefer: wait=N` it answers at the next version, or with 304 after N seconds.',
    area: 'runs',
    headers: ['Prefer', 'If-None-Match'],
    answers: [
      {
        status: 200,
        description: 'The run as it is now.',
        json: ['Run'],
        example: runExample,
        headers: ['ETag', 'Cache-Control'],
        mayHave: ['Retry-After', 'Preference-Applied'],
      },
      {
        status: 304,
        description: 'It has not changed.',
        headers: ['ETag', 'Cache-Control'],
        mayHave: ['Retry-After', 'Preference-Applied'],
      },
    ],
    problems: ['run-not-found', 'overloaded', 'store-unavailable'],
  },
  {
    method: 'GET',
    path: '/runs/{id}/jobs/{index}',
    operationId: 'getJob',
    summary: 'shows one job',
    area: 'runs',
    answers: [
      {
        status: 200,
        description: 'The job as it is now.',
        json: ['Job'],
        example: jobExample,
        headers: ['Cache-Control'],
      },
    ],
    problems: ['run-not-found', 'job-not-found', 'overloaded', 'store-unavailable'],
  },
  {
    method: 'GET',
    path: '/runs/{id}/events',
    operationId: 'watchRun',
    summary: 'sends the run now, and whenever it changes, until it ends',
    description:
      'Server-sent events: `run` has a Run as its data and its version as id; `progress` has a Progress and no id. A result above 16 KiB is replaced by `resultBytes`.',
    area: 'runs',
    headers: ['Last-Event-ID'],
    answers: [
      {
        status: 200,
        description: 'The stream, which ends after the final state.',
        mediaType: 'text/event-stream',
        example: eventsExample,
        headers: ['Cache-Control'],
      },
      { status: 204, description: 'The final state has been received before.', headers: ['Cache-Control'] },
    ],
    problems: ['run-not-found', 'not-acceptable', 'too-many-streams', 'store-unavailable', 'shutting-down'],
  },
  {
    method: 'POST',
    path: '/runs/{id}/cancel',
    operationId: 'cancelRun',
    summary: 'cancels every job of a run that has not ended',
    area: 'runs',
    answers: cancelAnswers,
    problems: ['run-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  },
  {
    method: 'POST',
    path: '/runs/{id}/jobs/{index}/cancel',
    operationId: 'cancelJob',
    summary: 'cancels one job',
    area: 'runs',
    answers: cancelAnswers,
    problems: ['run-not-found', 'job-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  },
  {
    method: 'POST',
    path: '/runs/{id}/jobs/{index}/retry',
    operationId: 'retryJob',
    summary: 'queues a failed or cancelled job again, with fresh attempts',
    area: 'runs',
    answers: [{ status: 202, description: 'The job is queued; the run as it is now.', ...wholeRun }],
    problems: ['run-not-found', 'job-not-found', 'not-retryable', 'overloaded', 'shutting-down', 'store-unavailable'],
  },
  {
    method: 'DELETE',
    path: '/runs/{id}',
    operationId: 'removeRun',
    summary: 'forgets a run that has ended, and its idempotency key',
    area: 'runs',
    answers: [{ status: 204, description: 'It is gone.' }],
    problems: ['run-not-found', 'run-active', 'store-unavailable'],
  },
]
