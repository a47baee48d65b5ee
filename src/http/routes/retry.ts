/** POST /runs/{id}/jobs/{index}/retry: queues a job again that ended without success. */
import { AppError } from '../../domain/errors.ts'
import { findRun, jobIndexOf, noSuchJob, runIdOf } from '../named-run.ts'
import { runExample } from '../openapi/examples.ts'
import type { Route } from '../route.ts'
import { runViewSchema } from '../views/run.ts'

export const retryJob: Route = {
  method: 'POST',
  path: '/runs/{id}/jobs/{index}/retry',
  operationId: 'retryJob',
  summary: 'queues a failed or cancelled job again, with fresh attempts',
  area: 'runs',
  answers: [
    {
      status: 202,
      description: 'The job is queued; the run as it is now.',
      json: { Run: runViewSchema },
      example: runExample,
      headers: ['Cache-Control'],
    },
  ],
  problems: ['run-not-found', 'job-not-found', 'not-retryable', 'overloaded', 'shutting-down', 'store-unavailable'],

  create({ intake, store, answers }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const result = index === undefined ? 'not-found' : await intake.retry(id, index)
      const run = await findRun(store, id)
      if (result === 'not-found') throw noSuchJob(run, params)
      if (result !== 'queued') {
        const why = result === 'was-completed' ? 'has completed' : 'has not ended'
        throw new AppError('not-retryable', `job ${index} ${why}`, { members: { runId: id } })
      }
      ctx.set('Cache-Control', 'no-store')
      ctx.status = 202
      await answers.sendRun(ctx, run)
    }
  },
}
