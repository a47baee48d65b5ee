/**
 * The recipe by hand with a queue library: the first task on the main thread, the others in pg-boss, with one insert
 * for each request and the settings that its documentation recommends for throughput. Runs and results are not stored.
 */
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { PgBoss } from 'pg-boss'
import { answerOf } from './answer.js'
import { serve, statsOf } from './serve.js'
import run from './volatile-worker.js'

const queue = 'background'
const settings = { batchSize: 100, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }
const counts = { accepted: 0, finished: 0 }

const boss = new PgBoss({ connectionString: process.env.DATABASE_URL })
boss.on('error', (error) => console.error('an error in the queue', error))
await boss.start()
await boss.createQueue(queue)

// Counted a little too early: the queue completes the jobs after this function has returned.
await boss.work(queue, settings, async (jobs) => {
  for (const { data } of jobs) run(data)
  counts.finished += jobs.length
})

const router = new Router()
  .post('/run-tasks', bodyParser(), async (ctx) => {
    const { tasks } = ctx.request.body
    const [, ...others] = tasks
    counts.accepted += tasks.length
    await boss.insert(
      queue,
      others.map((data) => ({ data })),
    )
    ctx.body = answerOf(
      tasks.map(({ name }) => name),
      'First result',
    )
    counts.finished += 1
  })
  .get('/stats', (ctx) => {
    ctx.body = statsOf(counts)
  })

serve(new Koa().use(router.routes()))
