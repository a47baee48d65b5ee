/** POST …/cancel: ends a run, or one of its jobs, on request. */
import { AppError } from '../../domain/errors.ts'
import { findRun, jobIndexOf, noSuchJob, runIdOf } from '../named-run.ts'
import { runExample } from '../openapi/examples.ts'
import type { Answer, Route } from '../route.ts'
import { runViewSchema } from '../views/run.ts'

const wholeRun = { json: { Run: runViewSchema }, example: runExample, headers: ['Cache-Control'] } as const
const answersOfCancel: readonly Answer[] = [
  { status: 202, description: 'The cancel takes effect; the run as it is now.', ...wholeRun },
  { status: 200, description: 'It was cancelled before; the run as it is now.', ...wholeRun },
]

const create: Route['create'] = ({ store, clock, answers }) => {
  return async (ctx, params) => {
    const id = runIdOf(params)
    const index = params.index === undefined ? null : jobIndexOf(params)
    const result = index === undefined ? 'not-found' : await store.cancel(id, index, clock.now())
    const run = await findRun(store, id)
    if (result === 'not-found') throw noSuchJob(run, params)
    if (result === 'was-final') {
      const what = index === null ? 'the run' : `job ${index}`
      throw new AppError('not-cancellable', `${what} has ended before`, { members: { runId: id } })
    }
    ctx.set('Cache-Control', 'no-store')
    ctx.status = result === 'cancelled' ? 202 : 200
    await answers.sendRun(ctx, run)
  }
}

export const cancelRun: Route = {
  method: 'POST',
  path: '/runs/{id}/cancel',
  operationId: 'cancelRun',
  summary: 'cancels every job of a run that has not ended',
  area: 'runs',
  answers: answersOfCancel,
  problems: ['run-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  create,
}

export const cancelJob: Route = {
  method: 'POST',
  path: '/runs/{id}/jobs/{index}/cancel',
  operationId: 'cancelJob',
  summary: 'cancels one job',
  area: 'runs',
  answers: answersOfCancel,
  problems: ['run-not-found', 'job-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  create,
}
