/** What the service tells about itself: its tasks, its counts, its health, its problems, its routes. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { problemCodes, problems } from '../../src/domain/problems.ts'
import type { StatsView } from '../../src/http/views/stats.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { readRun, readStats } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

test('lists each task with its policy and its input', async () => {
  await using service = await shareService()
  const response = await service.get('/tasks')
  assert.is(response.status, 200)
  const { tasks } = (await response.json()) as { tasks: Record<string, unknown>[] }
  const names = tasks.map(({ name }) => name)
  assert.equal(
    names,
    Array.from(names, String).toSorted((a, b) => (a < b ? -1 : 1)),
  )
  const byName = (name: string) => tasks.find((task) => task['name'] === name) ?? {}
  const { kind, timeoutMs, maxAttempts, concurrency, input } = byName('wait')
  assert.equal([kind, timeoutMs, maxAttempts, concurrency, input], ['io', 60_000, 3, null, null])
  assert.is(byName('echo')['maxAttempts'], 1)
  const schema = byName('sum')['input'] as Record<string, unknown>
  assert.is(schema['type'], 'object')
  assert.equal(schema['required'], ['numbers'])
  assert.is(schema['additionalProperties'], false)
  assert.equal(schema['properties'], { numbers: { minItems: 1, type: 'array', items: { type: 'number' } } })
})

test('counts nothing in the beginning', async () => {
  await using service = await startService({ threads: 2, ioThreads: 1 })
  const response = await service.get('/stats')
  assert.is(response.headers.get('Cache-Control'), 'no-store')
  const { environment, eventLoopDelayMs, threads, ...counts } = (await response.json()) as StatsView
  assert.is(environment, null)
  assert.equal(counts, {
    runs: { running: 0, completed: 0, failed: 0, cancelled: 0 },
    jobs: { queued: 0, running: 0, retrying: 0, completed: 0, failed: 0, cancelled: 0, blocked: 0 },
    backlog: 0,
    oldestQueuedMs: null,
    unknownTasks: {},
    lostClaims: 0,
    conservation: { accepted: 0, final: 0, live: 0, lost: 0 },
  })
  assert.equal(Object.keys(eventLoopDelayMs), ['p50', 'p99', 'max'])
  assert.ok(Object.values(eventLoopDelayMs).every((ms) => ms >= 0))
  assert.equal(
    threads.map(({ name, kind, state, running }) => [name, kind, state, running]),
    [
      ['worker-1', 'cpu', 'ready', 0],
      ['worker-2', 'cpu', 'ready', 0],
      ['worker-3', 'io', 'ready', 0],
    ],
  )
})

test('counts runs and jobs by state, and every job once', async () => {
  await using service = await startService({ threads: 1, ioThreads: 1 })
  await service.post('/run-tasks', { tasks: [{ name: 'echo' }] })
  await service.post('/run-tasks', { tasks: [{ name: 'fail' }] })
  await service.post('/run-tasks', { tasks: [{ name: 'echo' }, waiting, waiting, { name: 'echo', delayMs: 60_000 }] })
  const { runs, jobs, backlog, conservation, threads, oldestQueuedMs } = await readStats(service)
  assert.equal(runs, { running: 1, completed: 1, failed: 1, cancelled: 0 })
  assert.equal(jobs, { queued: 1, running: 2, retrying: 0, completed: 2, failed: 1, cancelled: 0, blocked: 0 })
  assert.is(backlog, 3)
  assert.equal(conservation, { accepted: 6, final: 3, live: 3, lost: 0 })
  assert.equal(
    threads.map(({ running }) => running),
    [0, 2],
  )
  // A job that is not due yet is not late.
  assert.is(oldestQueuedMs, null)
})

test('shows how long the oldest due job has been waiting', async () => {
  await using service = await startService({ ioThreads: 1, ioConcurrency: 1 })
  const meeting = { meeting: `${service.url}/oldest`, count: 2 }
  const tasks = [{ name: 'meet', input: meeting }, { name: 'where' }]
  await service.post('/run-tasks', { respond: 'none', tasks })
  assert.ok((await until('a job waits', async () => (await readStats(service)).oldestQueuedMs ?? undefined)) >= 0)
  await attend(meeting, 'the test')
  await until('no job waits', async () => (await readStats(service)).oldestQueuedMs === null)
})

test('is alive and ready', async () => {
  await using service = await shareService()
  for (const path of ['/livez', '/readyz']) {
    const response = await service.get(path)
    assert.is(response.status, 200)
    assert.equal(await response.json(), { status: 'ok' })
  }
})

test('lives but takes nothing while it starts', async () => {
  const seen: [string, number, string | null][] = []
  await using service = await startService({}, {}, async (url) => {
    for (const [method, path] of [
      ['GET', '/livez'],
      ['GET', '/readyz'],
      ['POST', '/run-tasks'],
    ] as const) {
      const response = await fetch(`${url}${path}`, { method })
      seen.push([path, response.status, response.headers.get('Retry-After')])
      await response.text()
    }
  })
  assert.equal(seen, [
    ['/livez', 200, null],
    ['/readyz', 503, '5'],
    ['/run-tasks', 503, '5'],
  ])
  assert.is((await service.get('/readyz')).status, 200)
})

test('lives and is not ready when its store is down', async () => {
  await using service = await startService()
  await service.app.close()
  assert.is((await service.get('/livez')).status, 200)
  await expectProblem(await service.get('/readyz'), 'store-unavailable')
})

test('lives but takes nothing when it has stopped', async () => {
  await using service = await startService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  await service.app.drain()
  await service.app.close()
  assert.is((await service.get('/livez')).status, 200)
  await expectProblem(await service.get('/readyz'), 'shutting-down')
  await expectProblem(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }), 'shutting-down')
  for (const path of ['/runs', `/runs/${id}`, `/runs/${id}/jobs/0`, '/stats']) {
    await expectProblem(await service.get(path), 'store-unavailable')
  }
})

test('explains every problem at the address that is its type', async () => {
  await using service = await shareService()
  for (const code of problemCodes) {
    const response = await service.get(`/problems/${code}`)
    assert.is(response.status, 200, code)
    const page = (await response.json()) as Record<string, unknown>
    const { status, title, meaning, remedy } = problems[code]
    assert.equal(
      [page['type'], page['status'], page['title'], page['meaning'], page['remedy']],
      [`/problems/${code}`, status, title, meaning, remedy],
    )
  }
  for (const slug of ['nope', '__proto__', 'constructor', 'Internal', '%00']) {
    await expectProblem(await service.get(`/problems/${slug}`), 'not-found')
  }
})

test('names its routes to programs', async () => {
  await using service = await shareService()
  for (const accept of ['*/*', 'text/plain', 'application/json']) {
    const response = await service.get('/', { Accept: accept })
    assert.is(response.status, 200)
    assert.is(response.headers.get('Content-Type'), 'text/plain; charset=utf-8')
    const list = await response.text()
    for (const route of ['/run-tasks', '/runs', '/tasks', '/stats', '/livez', '/readyz', '/problems']) {
      assert.ok(list.includes(route), route)
    }
  }
})

test('shows programs a first command with the address of their request', async () => {
  await using service = await shareService()
  const response = await service.get('/')
  assert.match(response.headers.get('Content-Type') ?? '', /^text\/plain/)
  assert.ok((await response.text()).includes(`\ncurl -X POST ${service.url}/run-tasks\n`))
})

test.run()
