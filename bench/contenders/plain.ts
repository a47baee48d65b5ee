/** The ceiling: Koa reads the same body and answers with as much JSON, and there is no work behind it. */
import type { AddressInfo } from 'node:net'
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { answerOf } from './answer.ts'
import { namesOf } from './names.ts'

let answered = 0

const router = new Router()
  .post('/run-tasks', bodyParser(), (ctx) => {
    ctx.body = answerOf(namesOf(ctx.request.body), 'First result')
    answered += 1
  })
  .get('/stats', (ctx) => {
    ctx.body = { backlog: 0, conservation: { accepted: answered, final: answered, live: 0, lost: 0 } }
  })

const server = new Koa().use(router.routes()).listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
