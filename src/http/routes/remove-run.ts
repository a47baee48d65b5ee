/** DELETE /runs/{id}: purges a finished run and its idempotency key. */
import { AppError } from '../../domain/errors.ts'
import { noSuchRun, runIdOf } from '../named-run.ts'
import type { Route } from '../route.ts'

export const removeRun: Route = {
  method: 'DELETE',
  path: '/runs/{id}',
  operationId: 'removeRun',
  summary: 'forgets a run that has ended, and its idempotency key',
  area: 'runs',
  answers: [{ status: 204, description: 'It is gone.' }],
  problems: ['run-not-found', 'run-active', 'store-unavailable'],

  create({ intake }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const result = await intake.remove(id)
      if (result === 'not-found') throw noSuchRun(id)
      if (result === 'active') {
        const detail = 'the run has jobs that have not ended, or a caller who is being answered'
        throw new AppError('run-active', detail, { members: { runId: id } })
      }
      ctx.status = 204
    }
  },
}
