/** Decides whether a run is accepted, before anything is written: the request must be valid, and the backlog have room. */
import { AppError, taskPaused } from '../domain/errors.ts'
import type { RequestIssue } from '../domain/problems.ts'
import type { Clock } from '../runtime/clock.ts'
import { newRunId } from '../domain/ids.ts'
import { textOfJson } from '../domain/json.ts'
import { parseTraceparent } from '../telemetry/trace-context.ts'
import {
  asksForAnswer,
  type IdempotencyClaim,
  type NewJob,
  type NewRun,
  type RunRequest,
  type TaskRequest,
} from '../domain/run/new-run.ts'
import { keptUrl } from '../domain/webhook.ts'
import { checkInput, type Task } from '../tasks/task-module.ts'
import type { Registry } from '../tasks/registry.ts'
import type { MainThreadGuard } from '../execution/main-thread/main-thread-guard.ts'
import type { Store } from '../store/store.ts'

export interface PrepareOptions {
  readonly registry: Registry
  readonly guard: MainThreadGuard
  readonly clock: Clock
  readonly isPaused: (task: string) => boolean
  /** Whether the main thread runs first jobs at all. */
  readonly takesFirstJobs: boolean
  /** Default for runs that name no webhook; empty: none. */
  readonly webhookUrl: string
  /** Webhooks are signed with these; empty: no run can have a webhook. */
  readonly webhookSecret: readonly string[]
}

/** What the headers of a request say. */
export interface SubmitOptions {
  /** How long the caller waits for the answer, in milliseconds; null: without limit; 0: not at all. */
  readonly waitMs: number | null
  /** null: the request has no Idempotency-Key. */
  readonly idempotency: Omit<IdempotencyClaim, 'isDeferred'> | null
  /** The header `traceparent`; null: none. An invalid value is ignored. */
  readonly traceparent: string | null
}

/**
 * Turns a request into a run that a store can accept.
 * @throws AppError `unknown-task` or `validation-error`, with a pointer for each issue
 */
export async function prepareRun(
  request: RunRequest,
  submitOptions: SubmitOptions,
  options: PrepareOptions,
): Promise<NewRun> {
  const { tasks: entries, respond, onFirstFailure, tags } = request
  const { registry, guard, clock, isPaused, takesFirstJobs } = options
  const tasks = findTasks(entries, registry)
  const issues = [
    ...(await inputIssues(entries, tasks)),
    ...delayIssues(request),
    ...afterIssues(entries),
    ...webhookIssues(request, options),
  ]
  if (issues.length > 0) throw invalid('validation-error', issues)
  const [first] = tasks
  const waits = waitsForAnswer(request, submitOptions)
  // On the main thread a job cannot wait for its rate, or until its task is resumed.
  const canStart = first !== undefined && first.policy.rate === null && !isPaused(first.name)
  return {
    id: newRunId(clock.now()),
    respond,
    onFirstFailure,
    tags,
    traceparent: parseTraceparent(submitOptions.traceparent),
    webhook: webhookOf(request.webhook?.url ?? options.webhookUrl),
    jobs: entries.map((entry, index) => newJob(entry, tasks[index], index)),
    // A first job for which no caller waits runs in the pool.
    claimsFirst: takesFirstJobs && waits && canStart && guard.allows(first),
    idempotency: submitOptions.idempotency && { ...submitOptions.idempotency, isDeferred: !waits },
  }
}

/** Whether the response waits for the answer; else it leaves as soon as the run is committed. */
export function waitsForAnswer(run: Pick<NewRun, 'respond'>, { waitMs }: SubmitOptions): boolean {
  return asksForAnswer(run) && waitMs !== 0
}

/** @param url empty: none */
function webhookOf(url: string): string | null {
  return url === '' ? null : keptUrl(url)
}

/** What is stored of an invalid request. */
export interface RefusedRequest {
  readonly task: string
  readonly tags: readonly string[]
  readonly message: string
}

/** Makes the run of an invalid request of the inbox. The commit that accepts it fails its job, which cannot be retried. */
export function refusedRun(id: string, { task, tags, message }: RefusedRequest, webhookUrl: string): NewRun {
  return {
    id,
    respond: 'none',
    onFirstFailure: 'continue',
    tags,
    traceparent: null,
    webhook: webhookOf(webhookUrl),
    jobs: [{ task, kind: 'io', input: null, priority: 0, timeoutMs: 0, maxAttempts: 0, delayMs: 0 }],
    claimsFirst: false,
    idempotency: null,
    isFromInbox: true,
    refusal: message,
  }
}

function findTasks(entries: readonly TaskRequest[], registry: Registry): Task[] {
  const tasks = entries.map(({ name }) => registry.get(name))
  const unknown = entries.flatMap(({ name }, index) =>
    tasks[index] === undefined ? [{ pointer: `/tasks/${index}/name`, detail: `no task is named "${name}"` }] : [],
  )
  if (unknown.length > 0) throw invalid('unknown-task', unknown)
  return tasks.filter((task) => task !== undefined)
}

async function inputIssues(entries: readonly TaskRequest[], tasks: readonly Task[]): Promise<RequestIssue[]> {
  const issues: RequestIssue[] = []
  for (const [index, task] of tasks.entries()) {
    // One after the other, so that the issues are in the order of the request.
    const checked = await checkInput(task, entries[index]?.input)
    if (checked.ok) continue
    for (const { pointer, detail } of checked.issues)
      issues.push({ pointer: `/tasks/${index}/input${pointer}`, detail })
  }
  return issues
}

function delayIssues({ tasks, respond }: RunRequest): RequestIssue[] {
  if (!asksForAnswer({ respond }) || (tasks[0]?.delayMs ?? 0) === 0) return []
  return [{ pointer: '/tasks/0/delayMs', detail: 'the first task can be delayed only with respond: none' }]
}

function afterIssues(entries: readonly TaskRequest[]): RequestIssue[] {
  return entries.flatMap(({ after = [] }, index) =>
    after.flatMap((other, position) => {
      const pointer = `/tasks/${index}/after/${position}`
      if (other >= index) return [{ pointer, detail: `must be less than ${index}: a task waits for earlier ones` }]
      return after.indexOf(other) < position ? [{ pointer, detail: `names task ${other} a second time` }] : []
    }),
  )
}

function webhookIssues({ webhook }: RunRequest, { webhookSecret }: PrepareOptions): RequestIssue[] {
  if (webhook === undefined || webhookSecret.length > 0) return []
  return [{ pointer: '/webhook', detail: 'a webhook has to be signed, and this service has no WEBHOOK_SECRET' }]
}

function newJob(entry: TaskRequest, task: Task | undefined, index: number): NewJob {
  if (task === undefined) throw new Error(`task ${index} was not resolved`)
  const { name, policy } = task
  return {
    task: name,
    kind: policy.kind,
    input: entry.input === undefined ? null : textOfJson(entry.input),
    priority: entry.priority ?? 0,
    timeoutMs: entry.timeoutMs ?? policy.timeoutMs,
    // The caller of the first job waits for it, and can decide whether to try again.
    maxAttempts: entry.maxAttempts ?? (index === 0 ? 1 : policy.maxAttempts),
    delayMs: entry.delayMs ?? 0,
    ...(entry.after && { after: entry.after }),
    ...(entry.expiresMs !== undefined && { expiresMs: entry.expiresMs }),
    ...(task.secret.length > 0 && { secret: task.secret }),
  }
}

function invalid(code: 'unknown-task' | 'validation-error', errors: readonly RequestIssue[]): AppError {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new AppError(code, `${first?.pointer}: ${first?.detail}${more}`, { members: { errors } })
}

interface AdmissionOptions {
  readonly maxBacklog: number
  /** Jobs not yet final, as of the last commit. */
  readonly backlog: () => number
}

/** Admits runs while it is open and the backlog has room. */
export function createAdmission({ maxBacklog, backlog }: AdmissionOptions) {
  let isOpen = false
  /** Jobs that are admitted but not committed, so that the backlog does not count them yet. */
  let pending = 0

  function check(jobs: number): void {
    if (!isOpen) throw new AppError('shutting-down', 'the service is not taking new runs')
    if (backlog() + pending + jobs > maxBacklog) {
      throw new AppError('overloaded', `${backlog() + pending} jobs are waiting or running; ${maxBacklog} may be`)
    }
  }

  return {
    open(): void {
      isOpen = true
    },
    close(): void {
      isOpen = false
    },
    isOpen: (): boolean => isOpen,
    /** Checks whether a run of one job would be admitted. @throws AppError `shutting-down` or `overloaded` */
    checkRoom: (): void => check(1),
    /**
     * Reserves room for jobs.
     * @returns a function to call when the store has accepted or refused them
     * @throws AppError `shutting-down` or `overloaded`
     */
    admit(jobs: number): () => void {
      check(jobs)
      pending += jobs
      return () => {
        pending -= jobs
      }
    },
  }
}

/**
 * Makes the check that refuses a run that asks for an answer while its first task is paused, even if its caller does not
 * wait. A repeated request with the same key passes. The check throws AppError `task-paused`.
 */
export function createPausedRefusal(store: Pick<Store, 'pausedTasks' | 'findKey'>, clock: Clock) {
  return async (run: NewRun): Promise<void> => {
    const [first] = run.jobs
    const { idempotency } = run
    if (first === undefined || !asksForAnswer(run) || !store.pausedTasks().has(first.task)) return
    const isRepeated = idempotency !== null && (await store.findKey(idempotency, clock.now())) !== null
    if (!isRepeated) throw taskPaused(first.task)
  }
}
