/** Reading: a run, one of its jobs, and the list of runs. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { RunRecord } from '../../domain/run.ts'
import type { RunFilter } from '../../store/store.ts'
import type { HttpDeps } from '../deps.ts'
import { pageTokenOf, parsePageToken } from '../page-token.ts'
import { parseJobIndex, parseListQuery, type ListQuery } from '../run-schema.ts'
import { viewJob, viewRun } from '../run-view.ts'

const retryAfterS = '1'

export function createRunRoutes({ store, config, progressOf }: HttpDeps) {
  const options = { showsStacks: config.logLevel === 'debug', progressOf }

  async function find(id: string): Promise<RunRecord> {
    const run = isRunId(id) ? await store.getRun(id) : null
    if (run === null) throw new AppError('run-not-found', `there is no run ${id}`)
    return run
  }

  const getRun: RouterMiddleware = async (ctx) => {
    const run = await find(String(ctx.params['id']))
    ctx.status = 200
    ctx.set({ ETag: `W/"${run.version}"`, 'Cache-Control': 'no-cache' })
    if (run.state === 'running') ctx.set('Retry-After', retryAfterS)
    if (isKnown(ctx.get('If-None-Match'), run.version)) ctx.status = 304
    else ctx.body = viewRun(run, options)
  }

  const getJob: RouterMiddleware = async (ctx) => {
    const id = String(ctx.params['id'])
    const named = String(ctx.params['index'])
    const index = parseJobIndex(named)
    const job = isRunId(id) && index !== undefined ? await store.getJob(id, index) : null
    if (job === null) {
      const { jobs } = await find(id)
      throw new AppError('job-not-found', `the run has ${jobs.length} jobs and no job ${named}`)
    }
    ctx.set('Cache-Control', 'no-cache')
    ctx.body = viewJob(id, job, options)
  }

  const listRuns: RouterMiddleware = async (ctx) => {
    const { runs, hasMore } = await store.listRuns(filterOf(parseListQuery(ctx.query)))
    const last = runs.at(-1)
    const nextPageToken = hasMore && last !== undefined ? pageTokenOf(last.id) : null
    if (nextPageToken !== null) {
      const query = new URLSearchParams({ ...singles(ctx.query), pageToken: nextPageToken })
      ctx.set('Link', `</runs?${query.toString()}>; rel="next"`)
    }
    ctx.set('Cache-Control', 'no-cache')
    ctx.body = { runs: runs.map((run) => viewRun(run, { ...options, showsResults: false })), nextPageToken }
  }

  return { getRun, getJob, listRuns }
}

/** RFC 9110, 13.1.2: compared weakly, and whatever the client says of caches in between. */
function isKnown(ifNoneMatch: string, version: number): boolean {
  const tags = new Set(ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, '')))
  return tags.has('*') || tags.has(`"${version}"`)
}

function filterOf({ pageToken, ...query }: ListQuery): RunFilter {
  const given = Object.entries({
    ...query,
    beforeId: pageToken === undefined ? undefined : parsePageToken(pageToken),
  }).filter(([, value]) => value !== undefined)
  // Members that were left out are absent, as the contract of the store wants them.
  return { pageSize: query.pageSize, ...Object.fromEntries(given) }
}

function singles(query: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
  )
}
