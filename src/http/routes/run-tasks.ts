/** POST /run-tasks: accepts a run and answers with its first result, or with where to find it. */
import type { Context } from 'koa'
import { type Answer, failureStatusOf, type RunRecord } from '../../domain/run.ts'
import { AppError } from '../../domain/errors.ts'
import type { RunRequest } from '../../domain/run/new-run.ts'
import type { Accepted } from '../../intake/intake.ts'
import type { SubmitOptions } from '../../intake/admission.ts'
import { msPerS } from '../../runtime/clock.ts'
import type { Body } from '../body/read-body.ts'
import { runExample, runRequestExample, waitingRunExample } from '../openapi/examples.ts'
import { appliedPrefer, parseIdempotencyKey, parsePrefer, type Preferences } from '../request-head.ts'
import { retryAfterOfRun, type Route } from '../route.ts'
import { parseRunRequest, runSchema } from '../validation.ts'
import { viewError, viewJob, type ViewOptions } from '../views/job.ts'
import { minimalRunSchema, runViewSchema, withWholeJob } from '../views/run.ts'

/** Problems leave out larger results; the run has them. */
const maxResultBytes = 16 * 1024

const json = { Run: runViewSchema, MinimalRun: minimalRunSchema }
const mayHave = ['Server-Timing', 'Preference-Applied', 'Idempotency-Replayed'] as const

export const runTasks: Route = {
  method: 'POST',
  path: '/run-tasks',
  operationId: 'runTasks',
  summary: 'runs tasks and answers with the first result',
  description:
    'Without a body it runs `first`, `second` and `third`. `respond` selects the answer: the result of the first job (`first`), of the first job to end (`race`) or to succeed (`any`), one result per job (`all`), or nothing (`none`).',
  area: 'runs',
  headers: ['Prefer', 'Idempotency-Key', 'traceparent'],
  body: { json: { RunRequest: runSchema }, example: runRequestExample },
  responses: [
    {
      status: 200,
      description: 'The answer. Other jobs may still run.',
      json,
      example: runExample,
      headers: ['Content-Location', 'Link', 'Cache-Control'],
      mayHave,
    },
    {
      status: 202,
      description: 'The run is accepted. It has no answer yet, or the caller waits for none.',
      json,
      example: waitingRunExample,
      headers: ['Location', 'Retry-After', 'Content-Location', 'Link', 'Cache-Control'],
      mayHave,
    },
  ],
  problems: [
    'idempotency-key-invalid',
    'idempotency-in-progress',
    'unknown-task',
    'too-many-tasks',
    'idempotency-key-reused',
    'first-task-failed',
    'all-tasks-failed',
    'tasks-failed',
    'task-paused',
    'overloaded',
    'shutting-down',
    'store-unavailable',
  ],

  create({ intake, config, metrics, view, responder, prefix, readBody }) {
    /** A function of its own, so that nothing keeps the body in memory while the request waits for the answer. */
    async function receive(ctx: Context, scope: string) {
      // First, so that no body is read in vain.
      intake.checkRoom()
      const body = await readBody(ctx)
      const prefer = parsePrefer(ctx.req.headersDistinct['prefer'])
      const idempotency = idempotencyOf(ctx, scope, body)
      return { prefer, idempotency, request: parseRunRequest(body.value, config.maxTasksPerRun) }
    }

    return async (ctx, _params, scope) => {
      const { prefer, idempotency, request } = await receive(ctx, scope)
      const waitMs = waitMsOf(prefer)
      const accepted = await intake.submit(request, { waitMs, idempotency, traceparent: ctx.get('traceparent') })
      const { run, commitMs, answerMs, isReplayed } = accepted
      if (answerMs !== null) metrics.answered(commitMs + answerMs)
      // A first request that does not wait gets 202 even if its run has an answer already. A repeated one gets the answer.
      const answer = waitMs === 0 && !isReplayed ? null : run.answer

      if (answer !== null && answer.status !== 200) {
        // If the store cannot read the whole error, the short one is still an answer.
        const whole = await withWholeJob(run, answer.jobIndex, responder.wholeJobReader(run.id)).catch(() => run)
        setRunHeaders(ctx, accepted, prefix)
        setPreferenceApplied(ctx, prefer, request, answer.status)
        throw failureOf(whole, answer, view)
      }
      // First, because it throws if there is no room: that problem has no headers of the run.
      const send = responder.prepareRun(ctx, run, prefer.isMinimal)
      setRunHeaders(ctx, accepted, prefix)
      ctx.status = answer === null ? 202 : 200
      setPreferenceApplied(ctx, prefer, request, ctx.status)
      if (answer === null) ctx.set({ Location: `${prefix}/runs/${run.id}`, 'Retry-After': retryAfterOfRun })
      await send()
    }
  },
}

/** @returns the longest time that the caller is willing to wait for the answer; null: no limit of its own */
function waitMsOf({ waitS, respondAsync }: Preferences): number | null {
  // With both, the response is asynchronous when the wait is over (RFC 7240, 4.3).
  if (waitS !== null) return waitS * msPerS
  return respondAsync ? 0 : null
}

function idempotencyOf(ctx: Context, scope: string, body: Body): SubmitOptions['idempotency'] {
  const key = parseIdempotencyKey(ctx.req.headersDistinct['idempotency-key'])
  return key === null ? null : { scope, key, bodyDigest: body.digest() }
}

function setRunHeaders(ctx: Context, { run, commitMs, answerMs, isReplayed }: Accepted, prefix: string): void {
  const path = `${prefix}/runs/${run.id}`
  const first = answerMs === null ? '' : `, first;dur=${answerMs.toFixed(1)}`
  ctx.set({
    'Content-Location': path,
    Link: `<${path}>; rel="monitor"`,
    // In milliseconds (https://www.w3.org/TR/server-timing/).
    'Server-Timing': `commit;dur=${commitMs.toFixed(1)}${first}`,
    'Cache-Control': 'no-store',
  })
  if (isReplayed) ctx.set('Idempotency-Replayed', 'true')
}

/** Names the preferences that the response follows. @param status of the response */
function setPreferenceApplied(ctx: Context, prefer: Preferences, { respond }: RunRequest, status: number): void {
  const applied = appliedPrefer({
    respondAsync: prefer.respondAsync && status === 202,
    waitS: respond === 'none' ? null : prefer.waitS,
    isMinimal: prefer.isMinimal && status < 300,
  })
  if (applied !== null) ctx.set('Preference-Applied', applied)
}

/** @param answer of the run, with a status other than 200 */
function failureOf(run: RunRecord, { mode, jobIndex, status }: Answer, view: ViewOptions): AppError {
  const decider = jobIndex === null ? undefined : run.jobs[jobIndex]
  if (decider !== undefined) {
    // A job that was retried since has no error, only its earlier failures, and none of them if it was cancelled first.
    const reason = decider.error ?? decider.failures.at(-1)?.error
    const detail = `${decider.task}: ${reason?.message ?? 'it was cancelled, and queued again since'}`
    const error = reason === undefined ? null : viewError(reason, view.showsStacks)
    return new AppError('first-task-failed', detail, {
      status: failureStatusOf(status),
      members: { runId: run.id, jobIndex, error },
    })
  }
  const jobs = run.jobs.map((job) => viewJob(run.id, job, { ...view, maxResultBytes }))
  const unsuccessful = run.jobs.filter(({ state }) => state !== 'completed')
  const code = mode === 'any' ? 'all-tasks-failed' : 'tasks-failed'
  return new AppError(code, `${unsuccessful.length} of ${run.jobs.length} tasks did not succeed`, {
    members: { runId: run.id, jobIndex, jobs },
  })
}
