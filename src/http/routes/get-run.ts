/** One run: its current state, its changes as they happen, its jobs, their inputs, and its log. */
import { z } from 'zod'
import type { RunRecord } from '../../domain/run.ts'
import { maxLinesPerRun } from '../../domain/task-history.ts'
import { mask, maskText } from '../../runtime/secret.ts'
import { jobExample, runExample } from '../openapi/examples.ts'
import { hidesSecrets, jobWithoutSecrets } from '../permissions.ts'
import { isNotModified, parsePrefer, tagOfRun, tagOfVersion } from '../request-head.ts'
import { countParameter, findRun, jobIndexOf, noSuchJob, noSuchRun, parseQuery, runIdOf } from '../validation.ts'
import type { Route } from '../route.ts'
import { checkAcceptsEvents, eventStreamType, sendEventsHead } from '../streaming/event-stream.ts'
import { type JobView, jobViewSchema, progressSchema, viewJob } from '../views/job.ts'
import { chunkIdOf, linePageSchema, type LinePageView, lineSchema, runViewSchema, viewLines } from '../views/run.ts'

const retryAfterS = '1'
const msPerS = 1_000

export const getRun: Route = {
  method: 'GET',
  path: '/runs/{id}',
  operationId: 'getRun',
  summary: 'shows a run and its jobs',
  description: 'With `If-None-Match` and `Prefer: wait=N` it answers at the next version, or with 304 after N seconds.',
  area: 'runs',
  headers: ['Prefer', 'If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'The run as it is now.',
      json: { Run: runViewSchema },
      example: runExample,
      headers: ['ETag', 'Cache-Control'],
      mayHave: ['Retry-After', 'Preference-Applied'],
    },
    {
      status: 304,
      description: 'It has not changed.',
      headers: ['ETag', 'Cache-Control'],
      mayHave: ['Retry-After', 'Preference-Applied'],
    },
  ],
  problems: ['run-not-found', 'overloaded', 'store-unavailable'],

  create({ store, polls, responder }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const known = ctx.get('If-None-Match')
      // A client may name the version alone, and then asks of nothing else.
      const hasVersion = (run: RunRecord): boolean =>
        isNotModified(known, tagOfVersion(run.version)) || isNotModified(known, tagOfRun(run))
      const { waitS } = parsePrefer(ctx.req.headersDistinct['prefer'])
      // A client that knows no version has none to wait for.
      const waits = waitS !== null && known !== '' && known !== '*'
      const run = waits ? await nextVersion(waitS) : await findRun(store, id)
      ctx.status = 200
      ctx.set({ ETag: tagOfRun(run), 'Cache-Control': 'no-cache' })
      if (run.state === 'running') ctx.set('Retry-After', retryAfterS)
      if (hasVersion(run)) ctx.status = 304
      else await responder.sendRun(ctx, run)

      /** The run as soon as it has a version that the client does not know, or as it is after `seconds`. */
      async function nextVersion(seconds: number): Promise<RunRecord> {
        const { run: latest, hasWaited } = await polls.wait({
          runId: id,
          isKnown: hasVersion,
          waitMs: seconds * msPerS,
          response: ctx.res,
        })
        if (latest === null) throw noSuchRun(id)
        // A run that is deleted meanwhile does not change, so the poll hears nothing of it.
        const newest = hasWaited && hasVersion(latest) ? await findRun(store, id) : latest
        if (hasWaited) ctx.set('Preference-Applied', `wait=${seconds}`)
        return newest
      }
    }
  },
}

const streamExample = `id: 3\nevent: run\ndata: ${JSON.stringify(runExample)}\n\nevent: progress\ndata: {"jobIndex":1,"progress":0.5}\n\n`

export const watchRun: Route = {
  method: 'GET',
  path: '/runs/{id}/events',
  operationId: 'watchRun',
  summary: 'sends the run now, and whenever it changes, until it ends',
  description:
    'Server-sent events: `run` has a Run as its data and its version as id; `progress` has a Progress and no id. A result above 16 KiB is replaced by `resultBytes`.',
  area: 'runs',
  headers: ['Last-Event-ID'],
  responses: [
    {
      status: 200,
      description: 'The stream, which ends after the final state.',
      mediaType: eventStreamType,
      example: streamExample,
      headers: ['Cache-Control'],
    },
    { status: 204, description: 'The final state has been received before.', headers: ['Cache-Control'] },
  ],
  schemas: { Progress: progressSchema },
  problems: ['run-not-found', 'not-acceptable', 'too-many-streams', 'store-unavailable', 'shutting-down'],

  create({ store, streams, prefix }) {
    return async (ctx, params) => {
      checkAcceptsEvents(ctx)
      const id = runIdOf(params)
      if (ctx.method === 'HEAD') {
        await findRun(store, id)
        sendEventsHead(ctx)
        return
      }
      const opened = await streams.open(id, ctx.res, { prefix, isReader: hidesSecrets(ctx) })
      if (opened === null) throw noSuchRun(id)
      const { state, version } = opened.run
      if (state !== 'running' && ctx.get('Last-Event-ID') === String(version)) {
        // An EventSource that has seen the end would ask for ever; this stops it.
        ctx.status = 204
        ctx.set('Cache-Control', 'no-store')
        return
      }
      sendEventsHead(ctx)
      opened.start()
    }
  },
}

export const getJob: Route = {
  method: 'GET',
  path: '/runs/{id}/jobs/{index}',
  operationId: 'getJob',
  summary: 'shows one job',
  area: 'runs',
  responses: [
    {
      status: 200,
      description: 'The job as it is now.',
      json: { Job: jobViewSchema },
      example: jobExample,
      headers: ['Cache-Control'],
    },
  ],
  problems: ['run-not-found', 'job-not-found', 'overloaded', 'store-unavailable'],

  create({ store, view, responder, clock }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const job = index === undefined ? null : await responder.readJob(id, index)
      if (job === null) throw noSuchJob(await findRun(store, id), params)
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      const shown = viewJob(id, hidesSecrets(ctx) ? jobWithoutSecrets(job) : job, view)
      const ahead = shown.waiting?.reason === 'thread' ? await store.countAhead(id, job.index, clock.now()) : null
      await responder.send(ctx, withAhead(shown, ahead))
    }
  },
}

function withAhead(job: JobView, ahead: number | null): JobView {
  return job.waiting === null || ahead === null ? job : { ...job, waiting: { ...job.waiting, ahead } }
}

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

  create({ store, responder }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const found = index === undefined ? null : await responder.readInput(id, index)
      if (found === null) throw noSuchJob(await findRun(store, id), params)
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await responder.sendText(ctx, hidesSecrets(ctx) ? hidden(found) : (found.input ?? 'null'))
    }
  },
}

function hidden({ input, secret }: { readonly input: string | null; readonly secret?: readonly string[] }): string {
  if (input === null || secret === undefined) return input ?? 'null'
  return input.length > maxMaskedLength ? JSON.stringify(mask) : maskText(input, secret, 'input')
}

const logQuerySchema = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .default(0),
  pageSize: countParameter.transform((size) => Math.min(size, maxLinesPerRun)).default(maxLinesPerRun),
})

const logQuery: Record<keyof z.output<typeof logQuerySchema>, z.ZodType> = {
  after: z.int().min(0).default(0).describe('only lines after the one with this id'),
  pageSize: z.int().min(1).default(maxLinesPerRun).describe('above 1,000 it is 1,000'),
}

const logExample: LinePageView = {
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
  query: logQuery,
  headers: ['If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'Lines, the oldest first.',
      json: { LinePage: linePageSchema },
      example: logExample,
      headers: ['ETag', 'Cache-Control'],
    },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'] },
  ],
  schemas: { Line: lineSchema },
  problems: ['run-not-found', 'invalid-filter', 'overloaded', 'store-unavailable'],

  create({ store, lines, responder }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const { after, pageSize } = parseQuery(logQuerySchema, ctx.query)
      await lines.flush()
      const found = viewLines(await store.chunksOf(id, chunkIdOf(after))).filter((line) => line.id > after)
      // For a run that does not exist this throws.
      if (found.length === 0) await findRun(store, id)
      // Chunks are kept whole: the first one can have lines before the last thousand.
      const kept = after === 0 ? found.slice(-maxLinesPerRun) : found
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await responder.sendTagged(ctx, { lines: kept.slice(0, pageSize), hasMore: kept.length > pageSize })
    }
  },
}
