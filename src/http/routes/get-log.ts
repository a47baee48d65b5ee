/** GET /runs/{id}/log: what the tasks of a run have logged. */
import { z } from 'zod'
import { maxLinesPerRun } from '../../domain/task-history.ts'
import { findRun, parseQuery, runIdOf } from '../requested-runs.ts'
import type { Route } from '../route.ts'
import { chunkIdOf, linePageSchema, lineSchema, viewLines, type LinePageView } from '../views/line.ts'

const wholeNumber = (pattern: RegExp) => z.string().regex(pattern, 'must be a whole number').transform(Number)

const querySchema = z.strictObject({
  after: wholeNumber(/^\d{1,15}$/).default(0),
  pageSize: wholeNumber(/^[1-9]\d{0,8}$/)
    .transform((size) => Math.min(size, maxLinesPerRun))
    .default(maxLinesPerRun),
})

const query: Record<keyof z.output<typeof querySchema>, z.ZodType> = {
  after: z.int().min(0).default(0).describe('only lines after the one with this id'),
  pageSize: z.int().min(1).default(maxLinesPerRun).describe('above 1,000 it is 1,000'),
}

const example: LinePageView = {
  lines: [
    {
      id: 7_168,
      at: '2026-11-23T06:34:34.021Z',
      level: 'info',
      jobIndex: 1,
      attempt: 1,
      message: 'mail sent',
      fields: { to: 'ann@example.com' },
    },
  ],
  hasMore: false,
}

export const getLog: Route = {
  method: 'GET',
  path: '/runs/{id}/log',
  operationId: 'getLog',
  summary: 'shows what the tasks of a run have logged',
  description:
    'The last lines of the run, about a thousand, for a day. Lines of another process that shares the database come up to a second later.',
  area: 'runs',
  query,
  headers: ['If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'Lines, the oldest first.',
      json: { LinePage: linePageSchema },
      example,
      headers: ['ETag', 'Cache-Control'],
    },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'] },
  ],
  schemas: { Line: lineSchema },
  problems: ['run-not-found', 'invalid-filter', 'overloaded', 'store-unavailable'],

  create({ store, lines, answers }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const { after, pageSize } = parseQuery(querySchema, ctx.query)
      await lines.flush()
      const found = viewLines(await store.chunksOf(id, chunkIdOf(after))).filter((line) => line.id > after)
      if (found.length === 0) await findRun(store, id)
      // Chunks are kept whole: the first one can have lines before the last thousand.
      const kept = after === 0 ? found.slice(-maxLinesPerRun) : found
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await answers.sendTagged(ctx, { lines: kept.slice(0, pageSize), hasMore: kept.length > pageSize })
    }
  },
}
