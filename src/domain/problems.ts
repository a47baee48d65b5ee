/**
 * The one table of what can go wrong for a caller: statuses, headers, members and documentation of HTTP problems come
 * from here.
 */

/** A kind of error that a caller can get. */
export interface Problem {
  readonly status: number
  readonly title: string
  /** Whether the same request can succeed later; absent means no. */
  readonly isRetryable?: true
  /** Seconds that the caller should wait before it tries again: `Retry-After`. */
  readonly retryAfterS?: number
  /** Members that such a problem always has, in addition to the standard ones. */
  readonly members?: readonly (keyof ProblemMembers)[]
  /** Members that it has in some cases. */
  readonly mayHave?: readonly (keyof ProblemMembers)[]
  readonly meaning: string
  readonly remedy: string
}

/** An invalid place in a request. */
export interface RequestIssue {
  /** RFC 6901 JSON Pointer into the request body; empty for the body itself. */
  readonly pointer: string
  readonly detail: string
}

/** What a problem can have in addition to its standard members. */
export interface ProblemMembers {
  readonly runId?: string
  readonly jobIndex?: number | null
  readonly errors?: readonly RequestIssue[]
  readonly error?: unknown
  readonly jobs?: unknown
}

const table = {
  'malformed-json': {
    status: 400,
    title: 'Malformed JSON',
    meaning: 'The request body is not valid JSON text.',
    remedy: 'Send one JSON object, encoded as UTF-8.',
  },
  'invalid-filter': {
    status: 400,
    title: 'Invalid filter',
    meaning:
      'A query parameter is unknown or has a value that it cannot take, or a change of many runs names none of them.',
    remedy: 'Use state, task, tag, q, createdAfter, createdBefore, pageSize, pageToken and dryRun as documented.',
  },
  'invalid-page-token': {
    status: 400,
    title: 'Invalid page token',
    meaning: 'The pageToken was not made by this service.',
    remedy: 'Take nextPageToken from the previous page as it is, or leave it out to begin again.',
  },
  'idempotency-key-invalid': {
    status: 400,
    title: 'Invalid idempotency key',
    meaning: 'The Idempotency-Key header is empty, too long, malformed, or was sent twice.',
    remedy: 'Send one key of 1 to 255 characters, as it is or as a quoted string.',
  },
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    meaning: 'The request carries no API key, or one that this service does not know.',
    remedy: 'Send Authorization: Bearer with one of the keys in API_KEYS, or, to read, in API_KEYS_READ.',
  },
  'read-only-key': {
    status: 403,
    title: 'Read-only key',
    meaning: 'The API key is one of API_KEYS_READ, and such a key permits GET alone.',
    remedy: 'Use one of the keys in API_KEYS.',
  },
  'cross-site': {
    status: 403,
    title: 'Cross-site request',
    meaning: 'A web page of another site has sent the request; it must not start work on somebody’s own machine.',
    remedy: 'Send it from a program, or from a page of the same site.',
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    meaning: 'No route has this path.',
    remedy: 'See the list of routes at the root path.',
  },
  'run-not-found': {
    status: 404,
    title: 'Run not found',
    meaning: 'No run has this id: it never existed, or it was forgotten after its retention time.',
    remedy: 'Check the id.',
  },
  'job-not-found': {
    status: 404,
    title: 'Job not found',
    members: ['runId'],
    meaning: 'The run exists and has no job with this index.',
    remedy: 'Jobs are numbered from 0 in the order of the request.',
  },
  'task-not-found': {
    status: 404,
    title: 'Task not found',
    meaning: 'No task of this name is registered here.',
    remedy: 'GET /tasks lists the names.',
  },
  'delivery-not-found': {
    status: 404,
    title: 'Delivery not found',
    members: ['runId'],
    meaning: 'The run exists and has no delivery with this id.',
    remedy: 'Take the id from `deliveries` of the run; there is one for each time that a run with a webhook has ended.',
  },
  'schedule-not-found': {
    status: 404,
    title: 'Schedule not found',
    meaning: 'There is no schedule of this name.',
    remedy: 'GET /schedules lists them.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path exists and does not support this method.',
    remedy: 'Use one of the methods in the Allow header.',
  },
  'not-acceptable': {
    status: 406,
    title: 'Not acceptable',
    meaning: 'The route answers in one media type, and the Accept header excludes it.',
    remedy: 'Accept what the route answers with: text/event-stream for events, application/json elsewhere.',
  },
  'idempotency-in-progress': {
    status: 409,
    title: 'Idempotency in progress',
    isRetryable: true,
    retryAfterS: 1,
    members: ['runId'],
    meaning: 'The first request with this Idempotency-Key is still being answered.',
    remedy: 'Read the run that Link names, or send the request again with Prefer: wait=N to join it.',
  },
  'not-cancellable': {
    status: 409,
    title: 'Not cancellable',
    members: ['runId'],
    meaning: 'The run or job has ended, and not by a cancel.',
    remedy: 'Nothing is left to do; read the run to see how it ended.',
  },
  'not-retryable': {
    status: 409,
    title: 'Not retryable',
    members: ['runId'],
    meaning: 'Only a job that failed or was cancelled can be queued again.',
    remedy: 'Wait until the job has ended, and read how; one that completed has nothing to retry.',
  },
  'run-active': {
    status: 409,
    title: 'Run active',
    isRetryable: true,
    members: ['runId'],
    meaning: 'The run has jobs that have not ended, or a caller who is still being answered.',
    remedy: 'Cancel the run, or wait until it has ended, and delete it then.',
  },
  'schedule-declared': {
    status: 409,
    title: 'Schedule declared',
    meaning: 'The schedule is declared in the code of the service, and cannot be changed or removed over HTTP.',
    remedy: 'Change the code; until then it can be paused.',
  },
  'content-too-large': {
    status: 413,
    title: 'Content too large',
    meaning: 'The request body is larger than this service accepts.',
    remedy: 'Send less, or have the operator raise MAX_BODY_BYTES.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'The request has a body that is not declared as application/json, or is encoded in an unknown way.',
    remedy: 'Send Content-Type: application/json.',
  },
  'validation-error': {
    status: 422,
    title: 'Validation error',
    members: ['errors'],
    meaning: 'The body is JSON and does not have the form that this route takes.',
    remedy: 'Mend the places that errors[].pointer names (RFC 6901).',
  },
  'unknown-task': {
    status: 422,
    title: 'Unknown task',
    members: ['errors'],
    meaning: 'A task of this name is not registered here.',
    remedy: 'GET /tasks lists the names.',
  },
  'too-many-tasks': {
    status: 422,
    title: 'Too many tasks',
    members: ['errors'],
    meaning: 'One run has more tasks than this service accepts.',
    remedy: 'Split the run, or have the operator raise MAX_TASKS_PER_RUN.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    members: ['runId'],
    meaning: 'A request with another body has used this Idempotency-Key before.',
    remedy: 'Send the same bytes as the first time, or use a new key.',
  },
  'too-many-streams': {
    status: 429,
    title: 'Too many streams',
    isRetryable: true,
    retryAfterS: 5,
    meaning: 'As many event streams are open as this service allows.',
    remedy: 'Close one, wait, or poll the run with Prefer: wait=N.',
  },
  'first-task-failed': {
    status: 500,
    title: 'First task failed',
    members: ['runId', 'jobIndex', 'error'],
    meaning: 'The task whose result was to be the answer failed for good.',
    remedy: 'See the error member; the other tasks of the run go on.',
  },
  'all-tasks-failed': {
    status: 500,
    title: 'All tasks failed',
    members: ['runId', 'jobIndex', 'jobs'],
    meaning: 'None of the tasks succeeded.',
    remedy: 'See the error of each job.',
  },
  'tasks-failed': {
    status: 500,
    title: 'Tasks failed',
    members: ['runId', 'jobIndex', 'jobs'],
    meaning: 'At least one of the tasks failed for good.',
    remedy: 'See the outcome of each job.',
  },
  'body-already-read': {
    status: 500,
    title: 'Body already read',
    meaning: 'A body parser of the app that the service is mounted in has read the body and left nothing of it.',
    remedy: 'Mount the service before that parser, or keep it from reading the bodies of POST /run-tasks.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning: 'Something went wrong inside the service; its log says what.',
    remedy: 'Report it with the time of the request.',
  },
  'task-paused': {
    status: 503,
    title: 'Task paused',
    isRetryable: true,
    retryAfterS: 5,
    meaning: 'The request asks for an answer, and its first task is paused. Nothing of this request was stored or run.',
    remedy:
      'Try again after the time in Retry-After, or send it with respond: none: then its jobs wait until the task is resumed.',
  },
  overloaded: {
    status: 503,
    title: 'Overloaded',
    isRetryable: true,
    retryAfterS: 1,
    mayHave: ['runId'],
    meaning:
      'Too much is waiting, or is not read by clients. Nothing of this request was stored or run, unless a runId is given: that run was accepted and goes on.',
    remedy: 'Try again after the time in Retry-After; with a runId, read that run then.',
  },
  'shutting-down': {
    status: 503,
    title: 'Not serving',
    isRetryable: true,
    retryAfterS: 5,
    meaning: 'The service is starting or leaving; nothing of this request was stored or run.',
    remedy: 'Try again after the time in Retry-After.',
  },
  'store-unavailable': {
    status: 503,
    title: 'Store unavailable',
    isRetryable: true,
    retryAfterS: 5,
    mayHave: ['runId'],
    meaning: 'The store could not commit. Where a runId is given, that run was accepted and goes on.',
    remedy: 'Try again after the time in Retry-After; with a runId, read that run instead.',
  },
} as const satisfies Record<string, Problem>

export type ProblemCode = keyof typeof table

export const problems: Readonly<Record<ProblemCode, Problem>> = table
export const problemCodes = Object.keys(table) as readonly ProblemCode[]
