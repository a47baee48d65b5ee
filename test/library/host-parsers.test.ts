/** After a body parser of the host app: what it kept of a body is used, and a body that it dropped is not the default run. */
import bodyParserOfKoa from '@koa/bodyparser'
import { json as expressJson } from 'body-parser'
import type { Middleware } from 'koa'
import { koaBody } from 'koa-body'
import bodyParser from 'koa-bodyparser'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readProblem, readRun } from '../harness/run.ts'
import { create, recipe, serve } from './instance.ts'

const json = { 'Content-Type': 'application/json' }

const ofExpress: Middleware = async (ctx, next) => {
  await new Promise<void>((resolve, reject) => {
    expressJson()(ctx.req, ctx.res, (error: unknown) => (error === undefined ? resolve() : reject(error)))
  })
  await next()
}
/** Like one that is set up to look at forms alone, and reads everything. */
const forgetful: Middleware = async (ctx, next) => {
  await ctx.req.toArray()
  await next()
}
const emptying: Middleware = async (ctx, next) => {
  await ctx.req.toArray()
  Reflect.set(ctx.request, 'body', {})
  await next()
}

const takers: Record<string, Middleware> = {
  'koa-body': koaBody(),
  'koa-bodyparser': bodyParser(),
  '@koa/bodyparser': bodyParserOfKoa(),
  'express.json': ofExpress,
}

for (const [name, parser] of Object.entries(takers)) {
  const test = suite(`behind ${name}`)

  test('runs the request, once for an idempotency key', async () => {
    await using instance = create({ tasksDir: recipe })
    await instance.forerunner.start()
    await using app = await serve(parser, instance.forerunner.middleware())
    const ask = (body: string, headers = {}) =>
      fetch(`${app.url}/run-tasks`, { method: 'POST', headers: { ...json, ...headers }, body })
    const key = { 'Idempotency-Key': 'k' }
    const run = await readRun(await ask('{"tasks":[{"name":"second"}]}', key))
    assert.is(run.result, 'Second result')
    assert.is((await readRun(await ask('{"tasks":[{"name":"second"}]}', key))).id, run.id)
    assert.is((await ask('{"tasks":[{"name":"third"}]}', key)).status, 422)
    const refused = await readProblem(await ask('{"task":[]}'))
    assert.is(refused.type, '/problems/validation-error')
  })

  test('runs the default run for no body and for an empty object', async () => {
    await using instance = create({ tasksDir: recipe })
    await instance.forerunner.start()
    await using app = await serve(parser, instance.forerunner.middleware())
    for (const init of [{}, { headers: json, body: '{}' }]) {
      const run = await readRun(await fetch(`${app.url}/run-tasks`, { method: 'POST', ...init }))
      assert.is(run.result, 'First result')
    }
  })

  test('refuses a form, also one of unknown length', async () => {
    await using instance = create({ tasksDir: recipe })
    await instance.forerunner.start()
    await using app = await serve(parser, instance.forerunner.middleware())
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
    for (const body of ['respond=none', new Blob(['respond=none']).stream()]) {
      const form = await fetch(`${app.url}/run-tasks`, { method: 'POST', headers, body, duplex: 'half' })
      assert.is(form.status, 415)
    }
  })

  test.run()
}

const test = suite('behind a parser that throws bodies away')

test('says what to change, and runs nothing', async () => {
  await using instance = create({ tasksDir: recipe })
  const { forerunner } = instance
  await forerunner.start()
  for (const parser of [forgetful, emptying]) {
    await using app = await serve(parser, forerunner.middleware())
    const response = await fetch(`${app.url}/run-tasks`, {
      method: 'POST',
      headers: json,
      body: '{"tasks":[{"name":"second"}]}',
    })
    assert.is(response.status, 500)
    const { type, detail } = await readProblem(response)
    assert.is(type, '/problems/body-already-read')
    assert.match(detail, 'mount Forerunner before it')
    const { runs } = (await (await fetch(`${app.url}/runs`)).json()) as { runs: unknown[] }
    assert.equal(runs, [])
  }
})

test.run()
