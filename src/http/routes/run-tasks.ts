/** POST /run-tasks: accepts a run and answers with its first result, or with where to find it. */
import type { Context } from 'koa'
import { type Answer, failureStatusOf, type RunRecord } from '../../domain/run.ts'
import { AppError } from '../../domain/errors.ts'
import type { RunRequest } from '../../domain/run/new-run.ts'
import type { Accepted } from '../../intake/intake.ts'
import type { SubmitOptions } from '../../intake/admission.ts'
import type { Body } from '../body/read-body.ts'
import { runExample, runRequestExample, waitingRunExample } from '../openapi/examples.ts'
import { appliedPrefer, parseIdempotencyKey, parsePrefer, type Preferences } from '../request-head.ts'
import type { Route } from '../route.ts'
import { parseRunRequest, runSchema } from '../validation.ts'
import { viewError, viewJob, type ViewOptions } from '../views/job.ts'
import { minimalRunSchema, runViewSchema, withWholeJob } from '../views/run.ts'

/** When a run that is not answered yet is worth asking for. */
const retryAfterS = '1'
const msPerS = 1_000
/** Larger results are left out of a problem: the run has them. */
const maxResultBytes = 16 * 1024

const json = { Run: runViewSchema, MinimalRun: minimalRunSchema }

export const runTasks: Route = {
  method: 'POST',
  path: '/run-tasks',
  operationId: 'runTasks',
  summary: 'runs tasks and answers with the first result',
  description:
    'Without a body it runs `first`, `second` and `third`. `respond` says what the answer is: the first job’s result (`first`), that of the first to end (`race`) or to succeed (`any`), one result per job (`all`), or nothing (`none`).',
  area: 'runs',
  headers: ['Prefer', 'Idempotency-Key', 'traceparent'],
  body: { json: { RunRequest: runSchema }, example: runRequestExample },
  responses: [
    {
      status: 200,
      description: 'The answer; the other jobs may go on.',
      json,
      example: runExample,
      headers: ['Content-Location', 'Link', 'Cache-Control'],
      mayHave: ['Server-Timing', 'Preference-Applied', 'Idempotency-Replayed'],
    },
    {
      status: 202,
      description: 'The run is accepted and has no answer yet, or its caller waits for none.',
      json,
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
    'task-paused',
    'overloaded',
    'shutting-down',
    'store-unavailable',
  ],

  create({ intake, config, metrics, view, responder, prefix, readBody }) {
    /** Apart, so that the body is not kept while its request waits for an answer. */
    async function receive(ctx: Context, scope: string) {
      // Before the body is read: what will be refused is not worth it.
      intake.checkRoom()
      const body = await readBody(ctx)
      const prefer = parsePrefer(ctx.req.headersDistinct['prefer'])
      const idempotency = idempotencyOf(ctx, scope, body)
      return { prefer, idempotency, request: parseRunRequest(body.value, config.maxTasksPerRun) }
    }

    return async (ctx, _params, scope) => {
      const { prefer, idempotency, request } = await receive(ctx, scope)
      const { respond } = request
      const traceparent = ctx.get('traceparent')
      const waitMs = waitMsOf(prefer)
      const accepted = await intake.submit(request, { waitMs, idempotency, traceparent })
      const { run, commitMs, answerMs } = accepted
      if (answerMs !== null) metrics.answered(commitMs + answerMs)
      // A caller that waits for no answer gets none, even if the first job was quick; a repeated request gets what is there.
      const answer = waitMs === 0 && !accepted.isReplayed ? null : run.answer
      if (answer !== null && answer.status !== 200) {
        // Without the details of its error it is an answer all the same.
        const whole = await withWholeJob(run, answer.jobIndex, responder.wholeJobReader(run.id)).catch(() => run)
        describe(ctx, accepted, prefix)
        apply(ctx, honoured(prefer, respond, answer.status))
        throw failureOf(whole, answer, view)
      }
      const send = responder.prepareRun(ctx, run, prefer.isMinimal)
      describe(ctx, accepted, prefix)
      ctx.status = answer === null ? 202 : 200
      apply(ctx, honoured(prefer, respond, ctx.status))
      if (answer === null) ctx.set({ Location: `${prefix}/runs/${run.id}`, 'Retry-After': retryAfterS })
      await send()
    }
  },
}

function describe(ctx: Context, accepted: Accepted, prefix: string): void {
  const self = `${prefix}/runs/${accepted.run.id}`
  ctx.set({
    'Content-Location': self,
    Link: `<${self}>; rel="monitor"`,
    'Server-Timing': serverTiming(accepted),
    'Cache-Control': 'no-store',
  })
  if (accepted.isReplayed) ctx.set('Idempotency-Replayed', 'true')
}

function apply(ctx: Context, preferences: Preferences): void {
  const applied = appliedPrefer(preferences)
  if (applied !== null) ctx.set('Preference-Applied', applied)
}

/** The longest wait that the caller wants; without one of its own, `respond-async` wants none. */
function waitMsOf({ waitS, respondAsync }: Preferences): number | null {
  if (waitS !== null) return waitS * msPerS
  return respondAsync ? 0 : null
}

/** The preferences that the reply with this status follows. */
function honoured(prefer: Preferences, respond: RunRequest['respond'], status: number): Preferences {
  return {
    respondAsync: prefer.respondAsync && status === 202,
    waitS: respond === 'none' ? null : prefer.waitS,
    isMinimal: prefer.isMinimal && status < 300,
  }
}

function idempotencyOf(ctx: Context, scope: string, body: Body): SubmitOptions['idempotency'] {
  const key = parseIdempotencyKey(ctx.req.headersDistinct['idempotency-key'])
  return key === null ? null : { scope, key, bodyDigest: body.digest() }
}

/** https://www.w3.org/TR/server-timing/, durations in milliseconds. */
function serverTiming({ commitMs, answerMs }: Accepted): string {
  const commit = `commit;dur=${commitMs.toFixed(1)}`
  return answerMs === null ? commit : `${commit}, first;dur=${answerMs.toFixed(1)}`
}

/** The failure that a run's answer is, as a problem. @param answer of the run, with a status other than 200 */
function failureOf(run: RunRecord, { mode, jobIndex, status }: Answer, view: ViewOptions): AppError {
  const decider = jobIndex === null ? undefined : run.jobs[jobIndex]
  if (decider !== undefined) {
    // A job that was queued again since has no error of its own until it fails again; one that was cancelled left none.
    const reason = decider.error ?? decider.failures.at(-1)?.error
    const detail = `${decider.task}: ${reason?.message ?? 'it was cancelled, and queued again since'}`
    const error = reason === undefined ? null : viewError(reason, view.showsStacks)
    return new AppError('first-task-failed', detail, {
      status: failureStatusOf(status),
      members: { runId: run.id, jobIndex, error },
    })
  }
  const jobs = run.jobs.map((job) => viewJob(run.id, job, { ...view, maxResultBytes }))
  const failed = run.jobs.filter(({ state }) => state !== 'completed')
  const code = mode === 'any' ? 'all-tasks-failed' : 'tasks-failed'
  return new AppError(code, `${failed.length} of ${run.jobs.length} tasks did not succeed`, {
    members: { runId: run.id, jobIndex, jobs },
  })
}
