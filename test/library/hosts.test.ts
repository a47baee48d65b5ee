/** The routes in apps of others, with a prefix and without one, by what every host has to show. */
import { createServer } from 'node:http'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, ProblemError } from 'forerunner/client'
import { rejects } from '../harness/rejects.ts'
import { readProblem, readRun } from '../harness/run.ts'
import { hosts, listen } from './hosts.ts'
import { create, share } from './instance.ts'

const prefix = '/jobs/v1'
const json = { 'Content-Type': 'application/json' }
const waiting = { name: 'wait', input: { ms: 60_000 } }
const echo = { tasks: [{ name: 'echo', input: 'ü' }] }

for (const [name, open] of Object.entries(hosts)) {
  const test = suite(name)

  test('has the prefix in every address', async () => {
    await using instance = await share()
    const { forerunner } = instance
    await using host = await open(forerunner, prefix)
    const ask = (path: string, init = {}) => fetch(`${host.url}${path}`, init)
    const post = (body: unknown) =>
      ask(`${prefix}/run-tasks`, { method: 'POST', headers: json, body: JSON.stringify(body) })

    const answered = await post(echo)
    const run = await readRun(answered)
    const self = `${prefix}/runs/${run.id}`
    assert.is(run.result, 'ü')
    assert.equal(run.links, { self, events: `${self}/events`, cancel: `${self}/cancel` })
    assert.is(answered.headers.get('Content-Location'), self)
    assert.is(answered.headers.get('Link'), `<${self}>; rel="monitor"`)
    assert.equal((await readRun(await ask(self))).links, run.links)
    assert.match(await (await ask(`${self}/events`)).text(), `"self":"${self}"`)

    const accepted = await post({ tasks: [waiting], respond: 'none' })
    assert.match(accepted.headers.get('Location') ?? '', new RegExp(`^${prefix}/runs/`))
    const page = await ask(`${prefix}/runs?pageSize=1`)
    assert.match(page.headers.get('Link') ?? '', `<${prefix}/runs?pageSize=1&pageToken=`)
    assert.match(await page.text(), `"self":"${prefix}/runs/`)

    const refused = await readProblem(await post({ tasks: [{ name: 'nope' }] }))
    assert.equal([refused.type, refused.instance], [`${prefix}/problems/unknown-task`, `${prefix}/run-tasks`])
    assert.is(Reflect.get(Object(await (await ask(refused.type)).json()), 'type'), refused.type)
    const failed = await post({ tasks: [{ name: 'fail' }] })
    const { type, instance: about } = await readProblem(failed)
    assert.is(type, `${prefix}/problems/first-task-failed`)
    assert.match(about, new RegExp(`^${prefix}/runs/`))
    assert.is(failed.headers.get('Link'), `<${about}>; rel="monitor"`)

    const document = await (await ask(`${prefix}/openapi.json`)).text()
    assert.equal((JSON.parse(document) as { servers: unknown }).servers, [{ url: prefix }])
    assert.match(document, `"${prefix}/problems/run-not-found"`)
    for (const path of ['', '/', '/livez', '/readyz', '/metrics']) {
      assert.is((await ask(prefix + path)).status, 200, path)
    }
    assert.match(await (await ask(prefix)).text(), `POST ${prefix}/run-tasks`)
  })

  test('leaves everything else to the host', async () => {
    await using instance = await share()
    const { forerunner } = instance
    await using host = await open(forerunner, prefix)
    const ask = (path: string) => fetch(`${host.url}${path}`)
    for (const path of ['/', '/mine']) assert.is(await (await ask(path)).text(), 'mine', path)
    for (const path of ['/run-tasks', '/metrics', `${prefix}x/runs`, `${prefix}/nothing`]) {
      const response = await ask(path)
      assert.is(response.status, 404, path)
      assert.not.match(await response.text(), '/problems/', path)
    }
  })

  test('without a prefix has its own routes only', async () => {
    await using instance = await share()
    const { forerunner } = instance
    await using host = await open(forerunner)
    const client = createClient({ baseUrl: host.url })
    const { id, links } = await client.runTasks(echo)
    assert.is(links.self, `/runs/${id}`)
    assert.is((await client.waitForRun(id)).state, 'completed')
    assert.is(await (await fetch(host.url)).text(), 'mine')
    for (const path of ['/metrics', '/livez', '/readyz', '/runs/a/b/c']) {
      const response = await fetch(`${host.url}${path}`)
      assert.is(response.status, 404, path)
      assert.not.match(await response.text(), '/problems/', path)
    }
  })

  test('serves the client, which is given the prefix with the address', async () => {
    await using instance = await share()
    const { forerunner } = instance
    await using host = await open(forerunner, prefix)
    const client = createClient({ baseUrl: host.url + prefix })
    const error = await rejects(client.runTasks({ tasks: [{ name: 'fail' }] }), 'first-task-failed')
    assert.instance(error, ProblemError)
    const { id } = await client.enqueue({ tasks: [waiting] })
    const ended = client.waitForRun(id)
    assert.equal(await client.cancelRuns({ state: 'running' }), { matched: 1, changed: 1 })
    assert.is((await ended).state, 'cancelled')
  })

  test.run()
}

const test = suite('a handler')

test('responds with 404 to unknown paths if there is no next handler', async () => {
  await using instance = create({ prefix })
  const { forerunner } = instance
  await forerunner.start()
  await using host = await listen(createServer(forerunner.handler()))
  const response = await fetch(`${host.url}/elsewhere`)
  assert.is(response.status, 404)
  assert.is((await readProblem(response)).type, `${prefix}/problems/not-found`)
  const run = await forerunner.runTasks(echo)
  assert.is(run.links.self, `${prefix}/runs/${run.id}`)
  assert.is((await fetch(host.url + run.links.self)).status, 200)
})

test('says that the service was not started, and serves when it is', async () => {
  await using instance = create()
  const { forerunner } = instance
  await using host = await listen(createServer(forerunner.handler()))
  const early = await fetch(`${host.url}/stats`)
  assert.is(early.status, 503)
  assert.match(await early.text(), 'start()')
  await forerunner.start()
  assert.is((await fetch(`${host.url}/stats`)).status, 200)
})

test('can be at several places of one service', async () => {
  await using instance = await share()
  const { forerunner } = instance
  const [one, two] = [forerunner.handler({ prefix: '/one' }), forerunner.handler({ prefix: '/two/' })]
  await using host = await listen(
    createServer((incoming, response) => one(incoming, response, () => two(incoming, response))),
  )
  const { id } = await forerunner.enqueue({ tasks: [waiting] })
  for (const place of ['/one', '/two']) {
    const run = await readRun(await fetch(`${host.url}${place}/runs/${id}`))
    assert.is(run.links.self, `${place}/runs/${id}`)
  }
})

test('refuses an invalid prefix', () => {
  for (const wrong of ['jobs', '/a b', '/a//b', '/:id', '/a?b', 'http://x/a']) {
    assert.throws(() => create({ prefix: wrong }), /no path/, wrong)
    assert.throws(() => create().forerunner.handler({ prefix: wrong }), /no path/, wrong)
  }
})

test.run()
