/** One service as two processes that share a database: one answers, the other runs what is not a first job. */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Config } from '../../src/config.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { openEvents } from '../harness/event-client.ts'
import { lendSchema } from '../harness/postgres.ts'
import { jobAt, readRun, readStats } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const mainTasks = fileURLToPath(new URL('../fixtures/main-tasks/', import.meta.url))
const waiting = { name: 'wait', input: { ms: 60_000 } }

interface Pair extends AsyncDisposable {
  readonly http: Service
  readonly worker: Service
}

async function startPair(options: Partial<Config> = {}): Promise<Pair> {
  const stack = new AsyncDisposableStack()
  const { url: databaseUrl, name: databaseSchema } = stack.use(await lendSchema())
  const shared = { databaseUrl, databaseSchema, threads: 1, ...options }
  const http = stack.use(await startService({ ...shared, role: 'http' }))
  const worker = stack.use(await startService({ ...shared, role: 'worker' }))
  return { http, worker, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function runningOn(service: Service): Promise<number> {
  const { threads } = await readStats(service)
  return threads.reduce((sum, { running }) => sum + running, 0)
}

test('first jobs run in the process of the request, all others in a process with threads', async () => {
  await using pair = await startPair()
  const { http } = pair
  const tasks = ['where', 'where', 'where'].map((name) => ({ name }))
  const response = await http.post('/run-tasks', { respond: 'all', tasks })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.equal(
    run.jobs.map(({ thread }) => thread === 'main'),
    [true, false, false],
  )
  const { threads } = await readStats(http)
  assert.equal(threads, [])
})

test('a first job that must not run on the main thread is run elsewhere and answered here', async () => {
  await using pair = await startPair({ tasksDir: mainTasks })
  const { http } = pair
  const response = await http.post('/run-tasks', { tasks: [{ name: 'never-main', input: 'x' }] })
  assert.is(response.status, 200)
  assert.is.not(jobAt(await readRun(response), 0).thread, 'main')
})

test('a process that runs jobs answers for its health and figures, and for no run', async () => {
  await using pair = await startPair()
  const { worker } = pair
  for (const path of ['/livez', '/readyz', '/stats', '/metrics', '/tasks', '/openapi.json', '/']) {
    assert.is((await worker.get(path)).status, 200, path)
  }
  const { paths } = (await (await worker.get('/openapi.json')).json()) as { paths: Record<string, unknown> }
  assert.ok('/stats' in paths)
  assert.equal(
    Object.keys(paths).filter((path) => path.startsWith('/run')),
    [],
    'its document shows what it answers',
  )
  const asked: [method: string, path: string][] = [
    ['POST', '/run-tasks'],
    ['GET', '/runs'],
    ['GET', `/runs/${crypto.randomUUID()}`],
    ['POST', `/runs/${crypto.randomUUID()}/cancel`],
  ]
  for (const [method, path] of asked) {
    const response = await fetch(`${worker.url}${path}`, { method })
    assert.is(response.status, 404, path)
    assert.ok((await response.text()).includes('ROLE=worker'), path)
  }
})

test('watchers and callers learn of changes in the other process', async () => {
  await using pair = await startPair()
  const { http } = pair
  const meeting = { meeting: `${http.url}/other`, count: 2 }
  const body = { tasks: [{ name: 'echo' }, { name: 'meet', input: meeting }] }
  const { id } = await readRun(await http.post('/run-tasks', body))
  await using events = await openEvents(`${http.url}/runs/${id}/events`)
  const { version } = await until('it runs', async () => {
    const run = await readRun(await http.get(`/runs/${id}`))
    return jobAt(run, 1).state === 'running' && run
  })
  const polling = http.get(`/runs/${id}`, { 'If-None-Match': `W/"${version}"`, Prefer: 'wait=50' })
  await attend(meeting, 'the test')
  assert.is((await readRun(await polling)).state, 'completed')
  const last = (await events.rest()).at(-1)
  assert.is(last?.type === 'run' && last.run.state, 'completed')
})

test('a cancel ends a job in the other process within a second', async () => {
  await using pair = await startPair()
  const { http, worker } = pair
  const spin = { name: 'spin', input: { ms: 60_000 } }
  const { id } = await readRun(await http.post('/run-tasks', { respond: 'none', tasks: [waiting, spin] }))
  await until('both run', async () => (await runningOn(worker)) === 2)
  const startedAt = performance.now()
  assert.is((await http.post(`/runs/${id}/cancel`)).status, 202)
  await until('no thread is busy', async () => (await runningOn(worker)) === 0)
  // Twice as long as it may take, for a busy machine.
  assert.ok(performance.now() - startedAt < 2_000)
})

test('progress of a job in the other process is shown, and sent to watchers', async () => {
  await using pair = await startPair()
  const { http } = pair
  const input = { meeting: `${http.url}/steps`, steps: [[0.5, 'half way']] }
  const { id } = await readRun(await http.post('/run-tasks', { respond: 'none', tasks: [{ name: 'tells', input }] }))
  await using events = await openEvents(`${http.url}/runs/${id}/events`)
  let told = await events.next()
  while (told?.type !== 'progress') told = await events.next()
  assert.equal(told.progress, { jobIndex: 0, progress: 0.5, message: 'half way' })
  assert.is(jobAt(await readRun(await http.get(`/runs/${id}`)), 0).progress, 0.5)
  await attend({ meeting: `${input.meeting}/1/0`, count: 2 }, 'the test')
  await events.rest()
})

test('the limit of the backlog holds for all processes, except for commits in progress', async () => {
  await using stack = new AsyncDisposableStack()
  const { url: databaseUrl, name: databaseSchema } = stack.use(await lendSchema())
  const options = { databaseUrl, databaseSchema, role: 'http', maxBacklog: 100 } as const
  const services = [stack.use(await startService(options)), stack.use(await startService(options))]
  const atOnce = 5
  const body = { respond: 'none', tasks: [{ ...waiting, delayMs: 60_000 }] }
  const statuses: number[] = []
  let accepted = 0
  for (let wave = 0; wave < 20; wave += 1) {
    const asked = services.flatMap((service) => Array.from({ length: atOnce }, () => service.post('/run-tasks', body)))
    statuses.push(...(await Promise.all(asked)).map(({ status }) => status))
    accepted = statuses.filter((status) => status === 202).length
    // They are notified after the commit, and on a busy machine after the response.
    await until('both know of what was accepted', async () => {
      const stats = await Promise.all(services.map((service) => readStats(service)))
      return stats.every(({ backlog }) => backlog === accepted)
    })
  }
  assert.equal(new Set(statuses), new Set([202, 503]))
  assert.ok(accepted >= 100 && accepted <= 100 + services.length * atOnce, `${accepted} were accepted`)
})

test('a job that is retried here runs there', async () => {
  await using pair = await startPair()
  const { http, worker } = pair
  const { id } = await readRun(await http.post('/run-tasks', { respond: 'none', tasks: [waiting] }))
  await until('it runs', async () => (await runningOn(worker)) === 1)
  await http.post(`/runs/${id}/cancel`)
  await until('it ends', async () => (await runningOn(worker)) === 0)
  assert.is((await http.post(`/runs/${id}/jobs/0/retry`)).status, 202)
  await until('it runs again', async () => (await runningOn(worker)) === 1)
})

test.run()
