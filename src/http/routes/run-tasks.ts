/** POST /run-tasks: accepts a run and answers with its first result, or with where to find it. */
import type { RouterMiddleware } from '@koa/router'
import type { Accepted } from '../../intake/intake.ts'
import { answerProblemOf } from '../answer-view.ts'
import type { HttpDeps } from '../deps.ts'
import { parseRunRequest } from '../run-schema.ts'
import { viewRun } from '../run-view.ts'

/** When a run that is not answered yet is worth asking for. */
const retryAfterS = '1'

export function createRunTasks({ intake, config }: HttpDeps): RouterMiddleware {
  const options = { showsStacks: config.logLevel === 'debug' }

  return async (ctx) => {
    const accepted = await intake.submit(parseRunRequest(ctx.request.body, config.maxTasksPerRun), {
      waitMs: null,
      idempotency: null,
    })
    const { run } = accepted
    const self = `/runs/${run.id}`
    ctx.set({
      'Content-Location': self,
      Link: `<${self}>; rel="monitor"`,
      'Server-Timing': serverTiming(accepted),
      'Cache-Control': 'no-store',
    })
    if (run.answer === null) {
      ctx.set({ Location: self, 'Retry-After': retryAfterS })
      ctx.status = 202
    } else if (run.answer.status === 200) {
      ctx.status = 200
    } else {
      throw answerProblemOf(run, run.answer, options)
    }
    ctx.body = viewRun(run, options)
  }
}

/** https://www.w3.org/TR/server-timing/, durations in milliseconds. */
function serverTiming({ commitMs, answerMs }: Accepted): string {
  const commit = `commit;dur=${commitMs.toFixed(1)}`
  return answerMs === null ? commit : `${commit}, first;dur=${answerMs.toFixed(1)}`
}
