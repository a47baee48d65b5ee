/** Reading: a run, one of its jobs, and the list of runs. */
import type { RouterMiddleware } from '@koa/router'
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { RunRecord } from '../../domain/run.ts'
import type { RunFilter, Store } from '../../store/store.ts'
import type { HttpDeps } from '../deps.ts'
import { entityTagOf, isKnown } from '../entity-tag.ts'
import { pageTokenOf, parsePageToken } from '../page-token.ts'
import { parsePrefer } from '../prefer.ts'
import { runFilterOf } from '../run-filter.ts'
import { parseJobIndex, parseListQuery, type ListQuery } from '../run-schema.ts'
import { viewJob, viewRun } from '../run-view.ts'

const retryAfterS = '1'
const msPerS = 1_000

export function createRunRoutes({ store, view, polls, answers, prefix }: HttpDeps) {
  async function find(id: string): Promise<RunRecord> {
    const run = isRunId(id) ? await store.getRun(id) : null
    if (run === null) throw notFound(id)
    return run
  }

  /** The run as soon as it has a version whose tag is not known, or as it is after so many seconds. */
  async function nextVersion(ctx: Context, id: string, known: string, waitS: number): Promise<RunRecord> {
    if (!isRunId(id)) throw notFound(id)
    const hasVersion = ({ version }: RunRecord): boolean => isKnown(known, entityTagOf(version))
    const { run, hasWaited } = await polls.wait(id, hasVersion, waitS * msPerS, ctx.res)
    if (run === null) throw notFound(id)
    // A run that is deleted meanwhile does not change, and nobody is told.
    const newest = hasWaited && hasVersion(run) ? await find(id) : run
    if (hasWaited) ctx.set('Preference-Applied', `wait=${waitS}`)
    return newest
  }

  const getRun: RouterMiddleware = async (ctx) => {
    const id = String(ctx.params['id'])
    const known = ctx.get('If-None-Match')
    const { waitS } = parsePrefer(ctx.req.headersDistinct['prefer'])
    // Without a version that the client knows there is none to wait for.
    const waits = waitS !== null && known !== '' && known !== '*'
    const run = waits ? await nextVersion(ctx, id, known, waitS) : await find(id)
    ctx.status = 200
    const tag = entityTagOf(run.version)
    ctx.set({ ETag: tag, 'Cache-Control': 'no-cache' })
    if (run.state === 'running') ctx.set('Retry-After', retryAfterS)
    if (isKnown(known, tag)) ctx.status = 304
    else await answers.sendRun(ctx, run)
  }

  const getJob: RouterMiddleware = async (ctx) => {
    const id = String(ctx.params['id'])
    const named = String(ctx.params['index'])
    const index = parseJobIndex(named)
    const job = isRunId(id) && index !== undefined ? await answers.readJob(id, index) : null
    if (job === null) {
      const { jobs } = await find(id)
      const detail = `the run has ${jobs.length} jobs and no job ${named}`
      throw new AppError('job-not-found', detail, { members: { runId: id } })
    }
    ctx.status = 200
    ctx.set('Cache-Control', 'no-cache')
    await answers.send(ctx, viewJob(id, job, view))
  }

  const listRuns: RouterMiddleware = async (ctx) => {
    const query = parseListQuery(ctx.query)
    const { runs, hasMore, lastId = runs.at(-1)?.id } = await answers.readPage(filterOf(query, store))
    const nextPageToken = hasMore && lastId !== undefined ? pageTokenOf(lastId) : null
    if (nextPageToken !== null) {
      const given = singles(ctx.query)
      const pageSize = given['pageSize'] === undefined ? {} : { pageSize: String(query.pageSize) }
      const next = new URLSearchParams({ ...given, ...pageSize, pageToken: nextPageToken })
      ctx.set('Link', `<${prefix}/runs?${next.toString()}>; rel="next"`)
    }
    ctx.status = 200
    ctx.set('Cache-Control', 'no-cache')
    await answers.sendTagged(ctx, {
      runs: runs.map((run) => viewRun(run, { ...view, showsResults: false })),
      nextPageToken,
      pageSize: query.pageSize,
    })
  }

  return { getRun, getJob, listRuns }
}

function notFound(id: string): AppError {
  return new AppError('run-not-found', `there is no run ${id}`)
}

function filterOf({ pageToken, ...query }: ListQuery, store: Pick<Store, 'canSearch'>): RunFilter {
  const filter = runFilterOf(query, store)
  return pageToken === undefined ? filter : { ...filter, beforeId: parsePageToken(pageToken) }
}

function singles(query: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
  )
}
