/** The upper limit: Koa reads the same body and returns as much JSON, without any work. */
import { Router } from '@koa/router'
import Koa from 'koa'
import bodyParser from 'koa-bodyparser'
import { answerOf } from './answer.js'
import { serve, statsOf } from './serve.js'

const counts = { accepted: 0, finished: 0 }

const router = new Router()
  .post('/run-tasks', bodyParser(), (ctx) => {
    const names = ctx.request.body.tasks.map(({ name }) => name)
    ctx.body = answerOf(names, 'First result')
    counts.accepted += 1
    counts.finished += 1
  })
  .get('/stats', (ctx) => {
    ctx.body = statsOf(counts)
  })

serve(new Koa().use(router.routes()))
