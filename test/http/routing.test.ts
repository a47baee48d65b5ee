/** Paths and methods that there are not: 404, 405 with Allow, OPTIONS, and paths that try to look like others. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listRuns } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { expectProblem } from './expect-problem.ts'
import { exchange } from './raw.ts'

const id = '01a20726-511c-723c-9ce9-a7c9e9b12f72'
const readable = [
  '/',
  '/runs',
  `/runs/${id}`,
  `/runs/${id}/jobs/0`,
  '/tasks',
  '/stats',
  '/livez',
  '/readyz',
  '/problems/x',
]
const allowOf = (response: Response) => (response.headers.get('Allow') ?? '').split(', ').toSorted()

test('responds with 404 at an unknown path', async () => {
  await using service = await shareService()
  const paths = [
    '/nope',
    '/run-task',
    '/run-tasks/x',
    '/runs/a/b',
    `/runs/${id}/jobs`,
    '/problems',
    '/favicon.ico',
    '//runs',
  ]
  for (const path of [...paths, '/..', '/runs%2f', '/%72un-tasks%00', '/%', '/%zz', '/livez;x', '/index.html']) {
    const problem = await expectProblem(await exchange(service.url, `GET ${path}`), 'not-found')
    assert.is(problem.instance, path)
  }
  assert.is((await exchange(service.url, 'OPTIONS *')).status, 404)
})

test('does not climb out of a path', async () => {
  await using service = await shareService()
  for (const path of ['/runs/../livez', '/problems/..%2flivez', '/./livez', '/runs/%2e%2e/livez', '/%2e%2e/livez']) {
    assert.is((await exchange(service.url, `GET ${path}`)).status, 404, path)
  }
})

test('ignores the query of routes without parameters', async () => {
  await using service = await shareService()
  for (const path of ['/livez?x=%zz', '/tasks?a=1&a=2', '/readyz?']) {
    assert.is((await exchange(service.url, `GET ${path}`)).status, 200, path)
  }
})

test('names the methods of a path when another one is requested', async () => {
  await using service = await shareService()
  for (const path of readable) {
    for (const method of ['POST', 'PUT', 'PATCH', 'PROPFIND']) {
      const response = await service.fetch(path, { method })
      const allowed = allowOf(response)
      for (const other of ['GET', 'HEAD', 'OPTIONS']) assert.ok(allowed.includes(other), `${method} ${path}`)
      assert.not(allowed.includes(method), `${method} ${path}`)
      await expectProblem(response, 'method-not-allowed')
    }
  }
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const response = await service.fetch('/run-tasks', { method })
    assert.equal(allowOf(response), ['OPTIONS', 'POST'])
    await expectProblem(response, 'method-not-allowed')
  }
  const head = await service.fetch('/run-tasks', { method: 'HEAD' })
  assert.is(head.status, 405)
  assert.equal(allowOf(head), ['OPTIONS', 'POST'])
})

test('lists the methods of a path for OPTIONS', async () => {
  await using service = await shareService()
  for (const path of [...readable, '/run-tasks']) {
    const response = await service.fetch(path, { method: 'OPTIONS' })
    assert.is(response.status, 204)
    const expected = path === '/run-tasks' ? ['POST', 'OPTIONS'] : ['GET', 'HEAD', 'OPTIONS']
    for (const method of expected) assert.ok(allowOf(response).includes(method), `${method} ${path}`)
  }
  await expectProblem(await service.fetch('/nope', { method: 'OPTIONS' }), 'not-found')
})

test('supports HEAD wherever it supports GET', async () => {
  await using service = await shareService()
  for (const path of ['/', '/runs', '/tasks', '/stats', '/livez', '/readyz', '/problems/internal']) {
    const response = await service.fetch(path, { method: 'HEAD' })
    assert.is(response.status, 200, path)
    assert.is(await response.text(), '')
  }
})

test('does not start a run by anything but POST', async () => {
  await using service = await shareService()
  const body = JSON.stringify({ tasks: [{ name: 'echo' }] })
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    await service.fetch('/run-tasks', { method, body, headers: { 'Content-Type': 'application/json' } })
  }
  assert.equal(await listRuns(service), [])
})

test.run()
