/** DELETE /runs/{id}: purges a finished run and its idempotency key. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { HttpDeps } from '../deps.ts'

export function createRemoveRoute({ store }: HttpDeps): RouterMiddleware {
  return async (ctx) => {
    const id = String(ctx.params['id'])
    const result = isRunId(id) ? await store.remove(id) : 'not-found'
    if (result === 'not-found') throw new AppError('run-not-found', `there is no run ${id}`)
    if (result === 'active') {
      throw new AppError('run-active', 'the run has jobs that have not ended', { members: { runId: id } })
    }
    ctx.status = 204
  }
}
