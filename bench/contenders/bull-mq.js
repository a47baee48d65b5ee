/**
 * The recipe by hand with a queue library on Redis: the first task on the main thread, the others in BullMQ, with one
 * `addBulk` for each request. Finished jobs are removed at once; runs, answers and results are not stored.
 */
import { Router } from '@koa/router'
import { Queue, Worker } from 'bullmq'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { answerOf } from './answer.js'
import { serve, statsOf } from './serve.js'
import run from './volatile-worker.js'

const queueName = 'background'
const concurrency = 100
const connection = { path: process.env.REDIS_SOCKET }
const opts = { removeOnComplete: true }
const counts = { accepted: 0, finished: 0, failed: 0 }

const queue = new Queue(queueName, { connection })
const worker = new Worker(queueName, async ({ name, data }) => run({ name, input: data }), {
  connection: { ...connection, maxRetriesPerRequest: null },
  concurrency,
})
worker.on('completed', () => (counts.finished += 1))
worker.on('failed', () => {
  counts.finished += 1
  counts.failed += 1
})
for (const emitter of [queue, worker]) emitter.on('error', (error) => console.error('an error in the queue', error))
await worker.waitUntilReady()

const router = new Router()
  .post('/run-tasks', bodyParser(), async (ctx) => {
    const { tasks } = ctx.request.body
    const [, ...others] = tasks
    counts.accepted += tasks.length
    await queue.addBulk(others.map(({ name, input = null }) => ({ name, data: input, opts })))
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
