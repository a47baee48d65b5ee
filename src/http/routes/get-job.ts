/** GET /runs/{id}/jobs/{index}: one job as it is now. */
import { findRun, jobIndexOf, noSuchJob, runIdOf } from '../named-run.ts'
import { jobExample } from '../openapi/examples.ts'
import type { Route } from '../route.ts'
import { jobViewSchema, viewJob } from '../views/job.ts'

export const getJob: Route = {
  method: 'GET',
  path: '/runs/{id}/jobs/{index}',
  operationId: 'getJob',
  summary: 'shows one job',
  area: 'runs',
  answers: [
    {
      status: 200,
      description: 'The job as it is now.',
      json: { Job: jobViewSchema },
      example: jobExample,
      headers: ['Cache-Control'],
    },
  ],
  problems: ['run-not-found', 'job-not-found', 'overloaded', 'store-unavailable'],

  create({ store, view, answers }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const job = index === undefined ? null : await answers.readJob(id, index)
      if (job === null) throw noSuchJob(await findRun(store, id), params)
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await answers.send(ctx, viewJob(id, job, view))
    }
  },
}
