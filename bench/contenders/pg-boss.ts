/**
 * The recipe by hand on a queue library: the first task on the main thread, the others in pg-boss, with one insert for
 * each request and the settings that its documentation gives for throughput. Runs, answers and results are not kept.
 */
import type { AddressInfo } from 'node:net'
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { PgBoss } from 'pg-boss'
import { answerOf } from './answer.ts'
import { namesOf } from './names.ts'
import run from './volatile-worker.ts'

const queue = 'background'
const batch = { batchSize: 100, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }

const boss = new PgBoss({ connectionString: process.env['DATABASE_URL'] ?? '' })
boss.on('error', (error: Error) => console.error('an error in the queue', error))
await boss.start()
await boss.createQueue(queue)

let accepted = 0
let finished = 0

await boss.work<{ readonly name: string }>(queue, batch, async (jobs) => {
  for (const { data } of jobs) run(data.name)
  finished += jobs.length
})

const router = new Router()
  .post('/run-tasks', bodyParser(), async (ctx) => {
    const names = namesOf(ctx.request.body)
    const [, ...others] = names
    accepted += names.length
    await boss.insert(
      queue,
      others.map((name) => ({ data: { name } })),
    )
    ctx.body = answerOf(names, 'First result')
    finished += 1
  })
  .get('/stats', (ctx) => {
    const live = accepted - finished
    ctx.body = { jobs: { failed: 0 }, backlog: live, conservation: { accepted, final: finished, live, lost: 0 } }
  })

const server = new Koa().use(router.routes()).listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
