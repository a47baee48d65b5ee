/** POST /runs/{id}/jobs/{index}/retry: queues a job again that ended without success. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { HttpDeps } from '../deps.ts'
import { parseJobIndex } from '../run-schema.ts'

/** Answers 202 with the run as it is then. */
export function createRetryRoute({ intake, store, answers }: HttpDeps): RouterMiddleware {
  return async (ctx) => {
    const id = String(ctx.params['id'])
    const named = String(ctx.params['index'])
    const index = parseJobIndex(named)
    const result = isRunId(id) && index !== undefined ? await intake.retry(id, index) : 'not-found'
    const run = isRunId(id) ? await store.getRun(id) : null
    if (run === null) throw new AppError('run-not-found', `there is no run ${id}`)
    if (result === 'not-found') {
      throw new AppError('job-not-found', `the run has no job ${named}`, { members: { runId: id } })
    }
    if (result !== 'queued') {
      const why = result === 'was-completed' ? 'has completed' : 'has not ended'
      throw new AppError('not-retryable', `job ${named} ${why}`, { members: { runId: id } })
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.status = 202
    await answers.sendRun(ctx, run)
  }
}
