/**
 * The recipe as a good engineer writes it by hand: the first task on the main thread, the others in Piscina, bounded,
 * with every failure logged. Nothing is stored, so a restart loses running and waiting tasks.
 */
import { availableParallelism } from 'node:os'
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { Piscina } from 'piscina'
import { answerOf } from './answer.js'
import { serve, statsOf } from './serve.js'

/** Forerunner's own default. */
const maxBacklog = 100_000
const threads = Math.max(1, availableParallelism() - 1)

const pool = new Piscina({
  filename: new URL('./volatile-worker.js', import.meta.url).href,
  minThreads: threads,
  maxThreads: threads,
  maxQueue: maxBacklog,
  concurrentTasksPerWorker: 16,
  atomics: 'disabled',
  recordTiming: false,
})
pool.on('error', (error) => console.error('an error in the pool', error))

const firstTasks = { first: () => 'First result' }
const counts = { accepted: 0, finished: 0, failed: 0 }

async function runInBackground(job) {
  try {
    await pool.run(job)
  } catch (error) {
    counts.failed += 1
    console.error(`the task ${job.name} failed`, error)
  } finally {
    counts.finished += 1
  }
}

const router = new Router()
  .post('/run-tasks', bodyParser(), (ctx) => {
    const { tasks } = ctx.request.body
    const [{ name: firstName }, ...others] = tasks
    const first = firstTasks[firstName]
    if (first === undefined) return ctx.throw(422, `no task is named ${firstName}`)
    if (counts.accepted - counts.finished + tasks.length > maxBacklog) return ctx.throw(503, 'too many jobs wait')
    counts.accepted += tasks.length
    for (const job of others) void runInBackground(job)
    ctx.body = answerOf(
      tasks.map(({ name }) => name),
      first(),
    )
    counts.finished += 1
  })
  .get('/stats', (ctx) => {
    ctx.body = statsOf(counts)
  })

serve(new Koa().use(router.routes()))
