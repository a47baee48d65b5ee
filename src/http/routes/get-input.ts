/** GET /runs/{id}/jobs/{index}/input: what a job was given, as it is stored. */
import { z } from 'zod'
import { mask, maskText } from '../../runtime/secret.ts'
import { findRun, jobIndexOf, noSuchJob, runIdOf } from '../requested-runs.ts'
import type { Route } from '../route.ts'
import { hidesSecrets } from '../secrets.ts'

/** What is larger is not looked into on the main thread for what is secret: a reader sees nothing of it. */
const maxMaskedLength = 2 ** 20

export const getInput: Route = {
  method: 'GET',
  path: '/runs/{id}/jobs/{index}/input',
  operationId: 'getInput',
  summary: 'shows what one job was given',
  description: 'With a read-only key, `"•••"` stands for what the task marks as secret.',
  area: 'runs',
  responses: [
    {
      status: 200,
      description: 'The input; null where the request had none.',
      json: { Input: z.unknown().describe('Any JSON value') },
      example: { to: 'ann@example.com' },
      headers: ['Cache-Control'],
    },
  ],
  problems: ['run-not-found', 'job-not-found', 'overloaded', 'store-unavailable'],

  create({ store, answers }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const found = index === undefined ? null : await answers.readInput(id, index)
      if (found === null) throw noSuchJob(await findRun(store, id), params)
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await answers.sendText(ctx, hidesSecrets(ctx) ? hidden(found) : (found.input ?? 'null'))
    }
  },
}

function hidden({ input, secret }: { readonly input: string | null; readonly secret?: readonly string[] }): string {
  if (input === null || secret === undefined) return input ?? 'null'
  return input.length > maxMaskedLength ? JSON.stringify(mask) : maskText(input, secret, 'input')
}
