/** With API keys set, everything but what has to be open needs one of them; pages of other sites change nothing at all. */
import Koa, { type Middleware } from 'koa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createAuthenticate } from '../../src/http/permissions.ts'
import { listRuns, readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { create, serve } from '../library/instance.ts'
import { expectProblem } from './expect-problem.ts'
import { answersOf, sendBytes } from './raw.ts'

const apiKeys = ['first-key', 'second+key/=~!']
const echo = { tasks: [{ name: 'echo', input: 1 }] }
const id = '01a20726-511c-723c-9ce9-a7c9e9b12f72'
const bearer = (key: string) => ({ Authorization: `Bearer ${key}` })

test('requires a key for everything that shows or starts runs', async () => {
  await using service = await shareService({ apiKeys })
  const paths = [
    '/runs',
    '/RUNS',
    '/runs/',
    `/runs/${id}`,
    `/runs/${id}/jobs/0`,
    '/tasks',
    '/stats',
    '/metrics',
    '/run-tasks',
  ]
  for (const path of paths) {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD']) {
      const response = await service.fetch(path, { method })
      assert.is(response.status, 401, `${method} ${path}`)
      assert.is(response.headers.get('WWW-Authenticate'), 'Bearer realm="forerunner"')
      if (method === 'GET') await expectProblem(response, 'unauthorized')
    }
  }
  await expectProblem(await service.post('/run-tasks', echo), 'unauthorized')
  const runs = (await (await service.get('/runs', bearer('first-key'))).json()) as { runs: unknown[] }
  assert.equal(runs.runs, [])
})

test('requires no key for health checks and explanations of problems', async () => {
  await using service = await shareService({ apiKeys })
  for (const path of ['/', '/livez', '/LIVEZ', '/readyz', '/problems/unauthorized']) {
    assert.is((await service.get(path)).status, 200, path)
    assert.is((await service.get(path, bearer('wrong'))).status, 200, path)
  }
  await expectProblem(await service.get('/nope'), 'not-found')
  await expectProblem(await service.post('/livez'), 'method-not-allowed')
})

test('accepts each configured key, with any spelling of the scheme', async () => {
  await using service = await shareService({ apiKeys })
  for (const key of apiKeys) {
    for (const scheme of ['Bearer ', 'bearer ', 'BEARER   ']) {
      const response = await service.post('/run-tasks', echo, { Authorization: `${scheme}${key}` })
      assert.is(response.status, 200, `${scheme}${key}`)
      assert.is((await readRun(response)).result, 1)
    }
  }
})

test('refuses everything that is not exactly a key', async () => {
  await using service = await shareService({ apiKeys })
  const wrong = [
    '',
    'first-ke',
    'first-key2',
    'First-key',
    'first-key,second+key/=~!',
    'first-key first-key',
    '"first-key"',
  ]
  for (const key of [...wrong, 'x'.repeat(5_000), 'first-k\u00e9y']) {
    const response = await service.get('/runs', bearer(key))
    assert.is(response.headers.get('WWW-Authenticate'), 'Bearer realm="forerunner", error="invalid_token"')
    await expectProblem(response, 'unauthorized')
  }
  for (const value of [
    'first-key',
    'Basic first-key',
    'Bearerfirst-key',
    'Token first-key',
    'Basic Bearer first-key',
  ]) {
    const response = await service.get('/runs', { Authorization: value })
    assert.is(response.headers.get('WWW-Authenticate'), 'Bearer realm="forerunner"', value)
    await expectProblem(response, 'unauthorized')
  }
  for (const path of ['/runs?access_token=first-key', '/runs?api_key=first-key']) {
    await expectProblem(await service.get(path), 'unauthorized')
  }
})

test('refuses a request with two keys, which is ambiguous', async () => {
  await using service = await shareService({ apiKeys })
  const head = 'GET /runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer first-key\r\n'
  const [one] = answersOf(await sendBytes(service.url, `${head}\r\n`))
  assert.is(one?.status, 200)
  const [two] = answersOf(await sendBytes(service.url, `${head}Authorization: Bearer wrong\r\n\r\n`))
  assert.is(two?.status, 401)
})

test('a page of another site may act only with a key', async () => {
  await using service = await shareService({ apiKeys })
  const from = { 'Sec-Fetch-Site': 'cross-site' }
  assert.is((await service.post('/run-tasks', echo, { ...from, ...bearer('first-key') })).status, 200)
  await expectProblem(await service.post('/run-tasks', echo, from), 'unauthorized')
  await expectProblem(await service.post('/run-tasks', echo, { ...from, ...bearer('wrong') }), 'unauthorized')
})

test('without keys in the service, a key does not help a page of another site', async () => {
  await using service = await shareService()
  const headers = { 'Sec-Fetch-Site': 'cross-site', ...bearer('first-key') }
  await expectProblem(await service.post('/run-tasks', echo, headers), 'cross-site')
})

test('distinguishes callers without revealing their keys', async () => {
  const ask = async (keys: readonly string[], key: string) => {
    const authenticate = createAuthenticate({ apiKeys: keys, apiKeysRead: [] })
    const answer: Middleware = (ctx) => {
      ctx.body = `scope:${authenticate(ctx).scope}`
    }
    await using app = await serve(answer)
    return (await fetch(app.url, { headers: bearer(key) })).text()
  }
  const first = await ask(apiKeys, 'first-key')
  assert.match(first, /^scope:[0-9a-f]{16}$/)
  assert.is(await ask(['other', 'first-key'], 'first-key'), first)
  assert.is.not(await ask(apiKeys, 'second+key/=~!'), first)
  assert.is(await ask([], 'first-key'), 'scope:')
})

test('an idempotency key belongs to the API key that it came with', async () => {
  await using service = await shareService({ apiKeys })
  const ask = async (key: string, input: number) => {
    const headers = { ...bearer(key), 'Idempotency-Key': 'one' }
    return service.post('/run-tasks', { tasks: [{ name: 'echo', input }] }, headers)
  }
  const first = await readRun(await ask('first-key', 1))
  const other = await ask('second+key/=~!', 2)
  assert.is((await readRun(other)).result, 2)
  assert.is((await readRun(await ask('first-key', 1))).id, first.id)
  await expectProblem(await ask('first-key', 2), 'idempotency-key-reused')
})

test('a read-only key reads everything, and changes nothing', async () => {
  const database = { apiKeys, apiKeysRead: ['reader', 'other-reader'] }
  await using service = await startService(database)
  const run = await readRun(await service.post('/run-tasks', echo, bearer('first-key')))
  const vary = (response: Response): string | null => response.headers.get('Vary')
  const paths = ['/runs', `/runs/${run.id}`, `/runs/${run.id}/jobs/0`, `/runs/${run.id}/events`, '/tasks', '/metrics']
  for (const path of paths) {
    const response = await service.get(path, bearer('reader'))
    assert.equal([response.status, vary(response)], [200, 'Authorization'], path)
    await response.text()
    assert.is((await service.fetch(path, { method: 'HEAD', headers: bearer('other-reader') })).status, 200, path)
  }
  const writes = [
    ['POST', '/run-tasks'],
    ['POST', `/runs/${run.id}/cancel`],
    ['POST', `/runs/${run.id}/jobs/0/cancel`],
    ['POST', `/runs/${run.id}/jobs/0/retry`],
    ['DELETE', `/runs/${run.id}`],
  ] as const
  for (const [method, path] of writes) {
    for (const site of ['same-origin', 'cross-site']) {
      const headers = { ...bearer('reader'), 'Sec-Fetch-Site': site }
      const refused = await service.fetch(path, { method, headers })
      assert.is(vary(refused), 'Authorization')
      await expectProblem(refused, 'read-only-key')
    }
  }
  const runs = await listRuns(service, '', bearer('reader'))
  assert.is(runs.length, 1)
  const started = await service.post('/run-tasks', echo, bearer('first-key'))
  const known = {
    ...bearer('reader'),
    'If-None-Match': (await service.get(`/runs/${run.id}`, bearer('reader'))).headers.get('ETag') ?? '',
  }
  const unchanged = await service.get(`/runs/${run.id}`, known)
  const stranger = await service.get('/runs')
  assert.equal([unchanged.status, stranger.status], [304, 401])
  assert.equal([started, unchanged, stranger].map(vary), ['Authorization', 'Authorization', 'Authorization'])
  assert.is(vary(await service.get('/livez', bearer('reader'))), null)
})

test('with only read-only keys, a key is required and nobody can write', async () => {
  await using service = await startService({ apiKeysRead: ['reader'] })
  await expectProblem(await service.get('/runs'), 'unauthorized')
  await expectProblem(await service.post('/run-tasks', echo), 'unauthorized')
  await expectProblem(await service.post('/run-tasks', echo, bearer('reader')), 'read-only-key')
  assert.is((await service.get('/runs', bearer('reader'))).status, 200)
})

test('in a host app, keys protect the routes and nothing else', async () => {
  await using instance = create({ apiKeys })
  await instance.forerunner.start()
  await using app = await serve(instance.forerunner.middleware(), (ctx: Koa.Context) => {
    ctx.body = 'mine'
  })
  assert.is((await fetch(`${app.url}/runs`)).status, 401)
  assert.is((await fetch(`${app.url}/runs`, { headers: bearer('first-key') })).status, 200)
  assert.is(await (await fetch(`${app.url}/mine`)).text(), 'mine')
  assert.is((await instance.forerunner.run(echo)).result, 1)
})

const from = (site: string) => ({ 'Sec-Fetch-Site': site })

test('a web page of another site cannot start or end work; one of the same site and a program can', async () => {
  await using service = await shareService()
  const body = { tasks: [{ name: 'echo' }] }
  await expectProblem(await service.post('/run-tasks', body, from('cross-site')), 'cross-site')
  await expectProblem(await service.post('/runs/x/cancel', undefined, from('cross-site')), 'cross-site')
  const removed = await service.fetch('/runs/x', { method: 'DELETE', headers: from('cross-site') })
  await expectProblem(removed, 'cross-site')
  for (const site of ['same-origin', 'same-site', 'none']) {
    assert.is((await service.post('/run-tasks', body, from(site))).status, 200)
  }
  assert.is((await service.get('/runs', from('cross-site'))).status, 200)
})

test.run()
