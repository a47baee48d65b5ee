/** POST …/cancel: ends a run, or one of its jobs, on request. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { HttpDeps } from '../deps.ts'
import { parseJobIndex } from '../run-schema.ts'

/** Answers with the run as it is then: 202 where the cancel takes effect, 200 where it had before. */
export function createCancelRoute({ store, clock, answers }: HttpDeps): RouterMiddleware {
  return async (ctx) => {
    const id = String(ctx.params['id'])
    const named = ctx.params['index'] ?? null
    const index = named === null ? null : parseJobIndex(named)
    const result = isRunId(id) && index !== undefined ? await store.cancel(id, index, clock.now()) : 'not-found'
    const run = isRunId(id) ? await store.getRun(id) : null
    if (run === null) throw new AppError('run-not-found', `there is no run ${id}`)
    if (result === 'not-found') {
      throw new AppError('job-not-found', `the run has no job ${named}`, { members: { runId: id } })
    }
    if (result === 'was-final') {
      const what = index === null ? 'the run' : `job ${index}`
      throw new AppError('not-cancellable', `${what} has ended before`, { members: { runId: id } })
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.status = result === 'cancelled' ? 202 : 200
    await answers.sendRun(ctx, run)
  }
}
