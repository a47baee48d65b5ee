/** The routes by which the service tells about itself. */
import { metricsExample, problemPageExample, recentExample, statsExample, taskListExample } from './examples.ts'
import type { Route } from './route.ts'

const healthy = { json: ['Health'], example: { status: 'ok' } } as const

export const serviceRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/tasks',
    operationId: 'listTasks',
    summary: 'lists the tasks and what they take',
    area: 'service',
    answers: [{ status: 200, description: 'Each task, by name.', json: ['TaskList'], example: taskListExample }],
    problems: [],
  },
  {
    method: 'GET',
    path: '/stats',
    operationId: 'stats',
    summary: 'counts runs, jobs and threads',
    area: 'service',
    answers: [
      {
        status: 200,
        description: 'The counts of this moment.',
        json: ['Stats'],
        example: statsExample,
        headers: ['Cache-Control'],
      },
    ],
    problems: ['store-unavailable'],
  },
  {
    method: 'GET',
    path: '/stats/recent',
    operationId: 'recent',
    summary: 'shows the last minutes of the process',
    area: 'service',
    answers: [
      {
        status: 200,
        description: 'What it runs now, quantiles and tasks of five minutes, and a quarter of an hour in rows.',
        json: ['Recent'],
        example: recentExample,
        headers: ['Cache-Control'],
      },
    ],
    problems: [],
  },
  {
    method: 'GET',
    path: '/metrics',
    operationId: 'metrics',
    summary: 'tells the same and more to Prometheus',
    area: 'service',
    answers: [
      {
        status: 200,
        description: 'Metrics in the text format of Prometheus.',
        mediaType: 'text/plain',
        example: metricsExample,
        headers: ['Cache-Control'],
      },
    ],
    problems: ['store-unavailable'],
  },
  {
    method: 'GET',
    path: '/livez',
    operationId: 'livez',
    summary: 'says whether the process lives',
    area: 'service',
    isOpen: true,
    answers: [{ status: 200, description: 'It does.', ...healthy }],
    problems: [],
  },
  {
    method: 'GET',
    path: '/readyz',
    operationId: 'readyz',
    summary: 'says whether it takes new runs',
    area: 'service',
    isOpen: true,
    answers: [{ status: 200, description: 'It does.', ...healthy }],
    problems: ['overloaded', 'shutting-down', 'store-unavailable'],
  },
  {
    method: 'GET',
    path: '/openapi.json',
    operationId: 'openapi',
    summary: 'describes all this to programs (OpenAPI 3.1)',
    area: 'service',
    headers: ['If-None-Match'],
    answers: [
      { status: 200, description: 'This document.', mediaType: 'application/json', headers: ['ETag', 'Cache-Control'] },
      { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'] },
    ],
    problems: [],
  },
  {
    method: 'GET',
    path: '/problems/{slug}',
    operationId: 'explainProblem',
    summary: 'explains a problem',
    area: 'service',
    isOpen: true,
    answers: [
      {
        status: 200,
        description: 'What the problem means and what to do.',
        json: ['ProblemPage'],
        example: problemPageExample,
      },
    ],
    problems: ['not-found'],
  },
  {
    method: 'GET',
    path: '/',
    operationId: 'root',
    summary: 'shows the live page to browsers, and this list to programs',
    area: 'service',
    isOpen: true,
    headers: ['If-None-Match'],
    answers: [
      {
        status: 200,
        description: 'The page, for clients that name text/html in Accept; for others the list of routes.',
        mediaType: ['text/plain', 'text/html'],
        headers: ['Vary'],
        mayHave: ['ETag', 'Cache-Control'],
      },
      { status: 304, description: 'The page has not changed.', headers: ['Vary', 'ETag', 'Cache-Control'] },
    ],
    problems: [],
  },
]
