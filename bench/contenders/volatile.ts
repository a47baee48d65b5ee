/**
 * The recipe as a good engineer writes it by hand: the first task on the main thread, the others in Piscina, bounded,
 * with every failure logged. Nothing is written down, so a restart loses what runs and what waits.
 */
import { availableParallelism } from 'node:os'
import type { AddressInfo } from 'node:net'
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { Piscina } from 'piscina'
import { answerOf } from './answer.ts'
import { namesOf } from './names.ts'

/** As Forerunner's own. */
const maxBacklog = 100_000

const pool = new Piscina<string, string>({
  filename: new URL('./volatile-worker.ts', import.meta.url).href,
  minThreads: Math.max(1, availableParallelism() - 1),
  maxThreads: Math.max(1, availableParallelism() - 1),
  maxQueue: maxBacklog,
  concurrentTasksPerWorker: 16,
  atomics: 'disabled',
  recordTiming: false,
})
pool.on('error', (error: Error) => console.error('an error in the pool', error))

const firstTasks: Readonly<Record<string, () => string>> = { first: () => 'First result' }
let accepted = 0
let finished = 0
let failed = 0

async function runInBackground(name: string): Promise<void> {
  try {
    await pool.run(name)
  } catch (error) {
    failed += 1
    console.error(`the task ${name} failed`, error)
  } finally {
    finished += 1
  }
}

const router = new Router()
  .post('/run-tasks', bodyParser(), (ctx) => {
    const names = namesOf(ctx.request.body)
    const [firstName = '', ...others] = names
    const first = firstTasks[firstName]
    if (first === undefined) return ctx.throw(422, `no task is named ${firstName}`)
    if (accepted - finished + names.length > maxBacklog) return ctx.throw(503, 'too many jobs wait')
    accepted += names.length
    for (const name of others) void runInBackground(name)
    ctx.body = answerOf(names, first())
    finished += 1
  })
  .get('/stats', (ctx) => {
    const live = accepted - finished
    ctx.body = { jobs: { failed }, backlog: live, conservation: { accepted, final: finished, live, lost: 0 } }
  })

const server = new Koa().use(router.routes()).listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
