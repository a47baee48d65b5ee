/** POST /run-tasks: accepts a run and answers with its first result, or with where to find it. */
import type { RouterMiddleware } from '@koa/router'
import type { Context } from 'koa'
import type { RunRequest } from '../../domain/run-request.ts'
import type { Accepted } from '../../intake/intake.ts'
import type { SubmitOptions } from '../../intake/prepare.ts'
import { answerProblemOf } from '../failed-answer.ts'
import { callerScope } from '../authenticate.ts'
import type { HttpDeps } from '../deps.ts'
import { parseIdempotencyKey } from '../idempotency-key.ts'
import { appliedPrefer, parsePrefer, type Preferences } from '../prefer.ts'
import { bodyDigest, bodyValue, forgetBody } from '../received-body.ts'
import { parseRunRequest } from '../run-schema.ts'
import { wholeRun } from '../run-text.ts'

/** When a run that is not answered yet is worth asking for. */
const retryAfterS = '1'
const msPerS = 1_000

export function createRunTasks(deps: HttpDeps): RouterMiddleware {
  const { intake, config, metrics, view, answers, prefix } = deps

  return async (ctx) => {
    const prefer = parsePrefer(ctx.req.headersDistinct['prefer'])
    const idempotency = idempotencyOf(ctx)
    const request = parseRunRequest(bodyValue(ctx), config.maxTasksPerRun)
    const { respond } = request
    forgetBody(ctx)
    const accepted = await intake.submit(request, { waitMs: waitMsOf(prefer), idempotency })
    const { run, commitMs, answerMs } = accepted
    if (answerMs !== null) metrics.answered(commitMs + answerMs)
    const { answer } = run
    if (answer !== null && answer.status !== 200) {
      // Without the details of its error it is an answer all the same.
      const whole = await wholeRun(run, answers.wholeJob(run.id), answer.jobIndex).catch(() => run)
      describe(ctx, accepted, prefix)
      apply(ctx, honoured(prefer, respond, answer.status))
      throw answerProblemOf(whole, answer, view)
    }
    const send = answers.prepareRun(ctx, run, prefer.isMinimal)
    describe(ctx, accepted, prefix)
    ctx.status = answer === null ? 202 : 200
    apply(ctx, honoured(prefer, respond, ctx.status))
    if (answer === null) ctx.set({ Location: `${prefix}/runs/${run.id}`, 'Retry-After': retryAfterS })
    await send()
  }
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

function idempotencyOf(ctx: Context): SubmitOptions['idempotency'] {
  const key = parseIdempotencyKey(ctx.req.headersDistinct['idempotency-key'])
  return key === null ? null : { scope: callerScope(ctx), key, bodyDigest: bodyDigest(ctx) }
}

/** https://www.w3.org/TR/server-timing/, durations in milliseconds. */
function serverTiming({ commitMs, answerMs }: Accepted): string {
  const commit = `commit;dur=${commitMs.toFixed(1)}`
  return answerMs === null ? commit : `${commit}, first;dur=${answerMs.toFixed(1)}`
}
