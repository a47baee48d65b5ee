/** DELETE /runs/{id}: purges a finished run and its idempotency key. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { HttpDeps } from '../deps.ts'

export function createRemoveRoute({ intake }: HttpDeps): RouterMiddleware {
  return async (ctx) => {
    const id = String(ctx.params['id'])
    const result = isRunId(id) ? await intake.remove(id) : 'not-found'
    if (result === 'not-found') throw new AppError('run-not-found', `there is no run ${id}`)
    if (result === 'active') {
      const detail = 'the run has jobs that have not ended, or a caller who is being answered'
      throw new AppError('run-active', detail, { members: { runId: id } })
    }
    ctx.status = 204
  }
}
