/**
 * The live part of the service without its jobs: a store that the test changes, and real streams and polls of its
 * runs over HTTP, whose numbers can be read: `await using live = await startLive()`.
 */
import { once } from 'node:events'
import { Router } from '@koa/router'
import { createFeed, type Feed, createRunWatch } from '../../src/feed/feed.ts'
import { createRunStreams, type RunStreams, type RunStreamsOptions } from '../../src/http/streaming/open-streams.ts'
import { createLongPolls, type LongPolls } from '../../src/http/streaming/long-poll.ts'
import { sendProblem } from '../../src/http/problem.ts'
import type { RouteDependencies } from '../../src/http/route.ts'
import { watchRun } from '../../src/http/routes/get-run.ts'
import { createStreamQuota } from '../../src/http/streaming/event-stream.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { createLog } from '../../src/log.ts'
import type { Store } from '../../src/store/store.ts'
import { openSqlite } from './store-sqlite.ts'

export interface Live extends AsyncDisposable {
  readonly url: string
  readonly store: Store
  readonly feed: Feed
  readonly streams: RunStreams & { size(): number }
  readonly polls: LongPolls
  /** How often a run was read. */
  reads(): number
}

interface LiveOptions extends Partial<RunStreamsOptions> {
  readonly maxStreams?: number
}

export async function startLive({ maxStreams = 1_000, ...options }: LiveOptions = {}): Promise<Live> {
  const { store, ...scoped } = await openSqlite(':memory:')
  const feed = createFeed()
  store.onChange(feed.publish)
  let reads = 0
  const runWatch = createRunWatch(feed, {
    getRun(id) {
      reads += 1
      return store.getRun(id)
    },
  })
  const log = createLog('silent')
  const quota = createStreamQuota(maxStreams)
  const streams = createRunStreams({
    runWatch,
    quota,
    view: { showsStacks: false },
    log,
    ...options,
  })
  const polls = createLongPolls(runWatch)
  // The part that the route uses.
  const watch = watchRun.create({ store, streams, prefix: '' } as unknown as RouteDependencies)
  const routes = new Router()
    .get('/runs/:id/events', (ctx) => watch(ctx, ctx.params, ''))
    // Until the version differs from the one in the path.
    .get('/runs/:id/versions/:version', async (ctx) => {
      const [id, version] = [String(ctx.params['id']), Number(ctx.params['version'])]
      const { run } = await polls.wait({
        runId: id,
        isKnown: (latest) => latest.version === version,
        waitMs: 60_000,
        response: ctx.res,
      })
      ctx.body = { version: run?.version ?? null }
    })
    .routes()
  const server = createHttpServer(log)
  const url = await server.listen(
    async (ctx, next) => {
      try {
        // For requests whose client has disconnected before the route is called.
        if (ctx.get('X-Late') !== '') await once(ctx.res, 'close')
        await Reflect.apply(routes, undefined, [ctx, next])
      } catch (error) {
        sendProblem(ctx, error, log)
      }
    },
    '127.0.0.1',
    0,
  )

  return {
    url,
    store,
    feed,
    streams: { ...streams, size: quota.taken },
    polls,
    reads: () => reads,
    async [Symbol.asyncDispose]() {
      polls.dismiss()
      await streams.close()
      await server.close()
      await scoped[Symbol.asyncDispose]()
    },
  }
}
