/** One run: its current state, its changes as they happen, its jobs, their inputs, and its log. */
import { z } from 'zod'
import type { JobInput } from '../../domain/job.ts'
import type { RunRecord } from '../../domain/run.ts'
import { maxLinesPerRun } from '../../domain/task-history.ts'
import { msPerS } from '../../runtime/clock.ts'
import { mask, maskText } from '../../runtime/secret.ts'
import { jobExample, runExample } from '../openapi/examples.ts'
import { hidesSecrets, jobWithoutSecrets } from '../permissions.ts'
import { isNotModified, parsePrefer, tagOfRun, tagOfVersion } from '../request-head.ts'
import { countParameter, findRun, jobIndexOf, noSuchJob, noSuchRun, parseQuery, runIdOf } from '../validation.ts'
import { jsonResponse, retryAfterOfRun, type Route } from '../route.ts'
import { checkAcceptsEvents, eventStreamType, sendEventsHead } from '../streaming/event-stream.ts'
import { type JobView, jobViewSchema, progressSchema, viewJob } from '../views/job.ts'
import { chunkIdOf, linePageSchema, type LinePageView, lineSchema, runViewSchema, viewLines } from '../views/run.ts'

export const getRun: Route = {
  method: 'GET',
  path: '/runs/{id}',
  operationId: 'getRun',
  summary: 'shows a run and its jobs',
  description:
    'With `If-None-Match` and `Prefer: wait=N` the response comes with the next version, or is 304 after N seconds.',
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
      // A client may name the version alone if changes of deliveries do not matter to it.
      const hasVersion = (run: RunRecord): boolean =>
        isNotModified(known, tagOfVersion(run.version)) || isNotModified(known, tagOfRun(run))
      const { waitS } = parsePrefer(ctx.req.headersDistinct['prefer'])
      // Only a client that names the version it has can wait for the next one. `*` names none.
      const waits = waitS !== null && known !== '' && known !== '*'
      const run = waits ? await nextVersion(waitS) : await findRun(store, id)
      ctx.status = 200
      ctx.set({ ETag: tagOfRun(run), 'Cache-Control': 'no-cache' })
      if (run.state === 'running') ctx.set('Retry-After', retryAfterOfRun)
      if (hasVersion(run)) ctx.status = 304
      else await responder.sendRun(ctx, run)

      /** The run as soon as its version is new to the client; after `seconds`, the run as it is. */
      async function nextVersion(seconds: number): Promise<RunRecord> {
        const result = await polls.wait({ runId: id, isKnown: hasVersion, waitMs: seconds * msPerS, response: ctx.res })
        if (result.run === null) throw noSuchRun(id)
        // The preference was not applied: the first version that was read is new to the client.
        if (!result.hasWaited) return result.run
        // Polls are not notified when their run is removed, so that is checked here.
        const newest = hasVersion(result.run) ? await findRun(store, id) : result.run
        ctx.set('Preference-Applied', `wait=${seconds}`)
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
  summary: 'sends the run now and after each change, until it ends',
  description:
    'Server-sent events: `run` has a Run as its data and the version as its id; `progress` has a Progress and no id. Results above 16 KiB are replaced by `resultBytes`.',
  area: 'runs',
  headers: ['Last-Event-ID'],
  responses: [
    {
      status: 200,
      description: 'The stream. It ends after the final state.',
      mediaType: eventStreamType,
      example: streamExample,
      headers: ['Cache-Control'],
    },
    { status: 204, description: 'The client has received the final state before.', headers: ['Cache-Control'] },
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
      const opened = await streams.open(id, ctx.res, { prefix, hidesSecrets: hidesSecrets(ctx) })
      if (opened === null) throw noSuchRun(id)
      const { state, version } = opened.run
      if (state !== 'running' && ctx.get('Last-Event-ID') === String(version)) {
        // Only 204 keeps an EventSource from connecting again. The stream has not started, and closes with the response.
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
  responses: [jsonResponse('The job as it is now.', { Job: jobViewSchema }, jobExample)],
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

/** Searching longer inputs for secrets would block the main thread. They are hidden as a whole. */
const maxMaskedLength = 2 ** 20

export const getInput: Route = {
  method: 'GET',
  path: '/runs/{id}/jobs/{index}/input',
  operationId: 'getInput',
  summary: 'shows the input of one job',
  description: 'With a read-only key, `"•••"` replaces values that the task marks as secret.',
  area: 'runs',
  responses: [
    jsonResponse(
      'The input; null if the request had none.',
      { Input: z.unknown().describe('Any JSON value') },
      { to: 'ann@example.com' },
    ),
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
      await responder.sendText(ctx, hidesSecrets(ctx) ? maskedInput(found) : (found.input ?? 'null'))
    }
  },
}

function maskedInput({ input, secret }: JobInput): string {
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
  pageSize: z.int().min(1).default(maxLinesPerRun).describe('values above 1,000 mean 1,000'),
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
  summary: 'shows the log lines of a run',
  description:
    'About the last thousand lines that the tasks of the run logged, for a day. Lines of other processes that share the database are up to a second late.',
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
      const stored = viewLines(await store.chunksOf(id, chunkIdOf(after))).filter((line) => line.id > after)
      // Throws if the run does not exist.
      if (stored.length === 0) await findRun(store, id)
      // The store drops whole chunks of lines, so the oldest chunk may have lines before the last thousand.
      const shown = after === 0 ? stored.slice(-maxLinesPerRun) : stored
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      await responder.sendTagged(ctx, { lines: shown.slice(0, pageSize), hasMore: shown.length > pageSize })
    }
  },
}
