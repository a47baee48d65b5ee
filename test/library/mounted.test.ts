/** The routes in a Koa app of somebody else's, beside its own. */
import type { Middleware } from 'koa'
import bodyParser from 'koa-bodyparser'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { openEvents } from '../harness/event-client.ts'
import { readProblem, readRun } from '../harness/run.ts'
import { create, recipe, serve, share } from './instance.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

const ask = (url: string, body?: unknown) =>
  fetch(url, {
    method: 'POST',
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  })

test('serves its routes in a Koa app beside others', async () => {
  await using instance = await share()
  const { forerunner } = instance
  await using app = await serve(forerunner.middleware(), (ctx) => {
    ctx.body = `mine: ${ctx.method} ${ctx.path}`
  })
  const run = await readRun(await ask(`${app.url}/run-tasks`, { tasks: [{ name: 'echo', input: 'here' }, waiting] }))
  assert.is(run.result, 'here')
  assert.is((await readRun(await fetch(`${app.url}/runs/${run.id}`))).id, run.id)
  for (const path of ['/mine', '/run-tasks-of-mine', '/runs/a/b/c', '/problems', '/events']) {
    assert.is(await (await fetch(`${app.url}${path}`)).text(), `mine: GET ${path}`)
  }
  assert.is(await (await ask(`${app.url}/mine`)).text(), 'mine: POST /mine')
  const refused = await fetch(`${app.url}/run-tasks`)
  assert.is((await readProblem(refused)).type, '/problems/method-not-allowed')
})

test('does not report a client that leaves its stream as an error of the app', async () => {
  await using instance = await share()
  const { forerunner } = instance
  const reported: unknown[] = []
  const listening: Middleware = async (ctx, next) => {
    ctx.app.on('error', (error) => reported.push(error))
    await next()
  }
  const over = Promise.withResolvers<void>()
  const waitingForIt: Middleware = async (ctx, next) => {
    ctx.res.once('close', () => setImmediate(over.resolve))
    await next()
  }
  await using app = await serve(listening, waitingForIt, forerunner.middleware())
  const { id } = await forerunner.run({ tasks: [waiting], respond: 'none' })
  await using events = await openEvents(`${app.url}/runs/${id}/events`)
  await events.nextRun()
  await events[Symbol.asyncDispose]()
  await over.promise
  assert.equal(reported, [])
})

test('leaves the errors of other middlewares to the host', async () => {
  await using instance = await share()
  const { forerunner } = instance
  const caught: unknown[] = []
  const outer: Middleware = async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      caught.push(error)
      ctx.status = 418
      ctx.body = 'handled by the app'
    }
  }
  const own = new AppError('internal', 'thrown by the app')
  await using app = await serve(outer, forerunner.middleware(), () => {
    throw own
  })
  const response = await fetch(`${app.url}/mine`)
  assert.is(response.status, 418)
  assert.is(await response.text(), 'handled by the app')
  assert.equal(caught, [own])
  const ours = await ask(`${app.url}/run-tasks`, { tasks: [{ name: 'nope' }] })
  assert.is(ours.status, 422)
  assert.is((await readProblem(ours)).type, '/problems/unknown-task')
  assert.is(caught.length, 1, 'a problem is an answer, and no error of the app')
})

test('reads bodies after a body parser of the app', async () => {
  await using instance = create({ tasksDir: recipe })
  const { forerunner } = instance
  await forerunner.start()
  await using app = await serve(bodyParser(), forerunner.middleware())
  const given = await ask(`${app.url}/run-tasks`, { tasks: [{ name: 'second' }] })
  assert.is((await readRun(given)).result, 'Second result')
  const form = await fetch(`${app.url}/run-tasks`, { method: 'POST', body: new URLSearchParams({ a: '1' }) })
  assert.is(form.status, 415)
  const empty = await ask(`${app.url}/run-tasks`)
  assert.is(empty.status, 200, 'an empty body is the default run, whoever has read it')
  assert.is((await readRun(empty)).result, 'First result')
})

test.run()
