/** GET /runs/{id} and its jobs: the representation of the contract, and conditional requests. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/http/views/job.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'
import { exchange } from './raw.ts'

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const waiting = { name: 'wait', input: { ms: 60_000 } }

async function submit(service: Service, body: unknown): Promise<string> {
  return (await readRun(await service.post('/run-tasks', body))).id
}

test('shows a run with exactly the members of the contract', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo', input: [1] }, waiting], tags: ['b', 'a'] })
  const response = await service.get(`/runs/${id}`)
  assert.is(response.status, 200)
  assert.is(response.headers.get('Content-Type'), 'application/json; charset=utf-8')
  const { jobs, version, createdAt, committedAt, respondedAt, links, ...run } = await readRun(response)
  assert.equal(run, {
    id,
    state: 'running',
    result: [1],
    answer: { mode: 'first', jobIndex: 0 },
    finishedAt: null,
    tags: ['b', 'a'],
  })
  assert.is(links.self, `/runs/${id}`)
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.ok(Number.isInteger(version) && version >= 1)
  for (const at of [createdAt, committedAt, respondedAt]) assert.match(at ?? '', instant)
  assert.is(jobs.length, 2)
})

test('shows a job with exactly the members of the contract', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo', input: [1] }, waiting] })
  const response = await service.get(`/runs/${id}/jobs/0`)
  assert.is(response.status, 200)
  const { queuedAt, startedAt, finishedAt, ...done } = (await response.json()) as JobView
  assert.equal(done, {
    index: 0,
    task: 'echo',
    state: 'completed',
    thread: 'main',
    attempt: 1,
    maxAttempts: 1,
    runAt: null,
    waiting: null,
    waitsFor: [],
    progress: null,
    result: [1],
    error: null,
    failures: [],
    steps: [],
  })
  for (const at of [queuedAt, startedAt, finishedAt]) assert.match(at ?? '', instant)
  const running = (await (await service.get(`/runs/${id}/jobs/1`)).json()) as JobView
  assert.equal(Object.keys(running), Object.keys((await readRun(await service.get(`/runs/${id}`))).jobs[1] ?? {}))
  assert.is(running.state, 'running')
  assert.is(running.finishedAt, null)
  assert.is(running.result, null)
})

test('shows each failure with its attempt, its times and its error', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', input: { message: 'm', code: 5 } }] })
  const { runId } = await expectProblem(response, 'first-task-failed')
  const { failures, error, startedAt, finishedAt } = jobAt(await readRun(await service.get(`/runs/${runId}`)), 0)
  assert.equal(failures, [{ attempt: 1, startedAt, finishedAt, error }])
  assert.equal(error, { code: 'task_error', message: 'm', name: 'Error', taskCode: 5 })
})

test('equals the response to the POST', async () => {
  await using service = await shareService()
  const posted = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: { a: null } }] }))
  assert.equal(await readRun(await service.get(`/runs/${posted.id}`)), posted)
})

test('has an ETag that is the version, which grows with each change', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/etag`, count: 2 }
  const id = await submit(service, { tasks: [{ name: 'echo' }, { name: 'meet', input: meeting }] })
  const before = await service.get(`/runs/${id}`)
  const { version } = await readRun(before)
  assert.is(before.headers.get('ETag'), `W/"${version}"`)
  await attend(meeting, 'the test')
  const after = await until('the run has ended', async () => {
    const response = await service.get(`/runs/${id}`)
    return response.headers.get('ETag') !== before.headers.get('ETag') && response
  })
  const run = await readRun(after)
  assert.ok(run.version > version)
  assert.is(after.headers.get('ETag'), `W/"${run.version}"`)
})

test('says when to ask again while it runs, and not after', async () => {
  await using service = await shareService()
  const running = await service.get(`/runs/${await submit(service, { tasks: [{ name: 'echo' }, waiting] })}`)
  assert.match(running.headers.get('Retry-After') ?? '', /^[1-9]\d*$/)
  const finished = await service.get(`/runs/${await submit(service, { tasks: [{ name: 'echo' }] })}`)
  assert.not(finished.headers.has('Retry-After'))
})

test('responds with 304 without a body if the client has this version', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  const etag = (await service.get(`/runs/${id}`)).headers.get('ETag') ?? ''
  for (const known of [etag, etag.slice(2), `"other", ${etag}`, '*']) {
    const response = await exchange(service.url, `GET /runs/${id}`, { 'If-None-Match': known })
    assert.is(response.status, 304, known)
    assert.is(response.headers.get('ETag'), etag)
    assert.is(await response.text(), '')
  }
  for (const other of ['W/"0"', '"x"', 'W/""', 'nonsense']) {
    const response = await exchange(service.url, `GET /runs/${id}`, { 'If-None-Match': other })
    assert.is(response.status, 200, other)
    assert.is((await readRun(response)).id, id)
  }
})

test('answers 304 to fetch too, which sends Cache-Control: no-cache with If-None-Match', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  const etag = (await service.get(`/runs/${id}`)).headers.get('ETag') ?? ''
  const response = await service.get(`/runs/${id}`, { 'If-None-Match': etag })
  assert.is(response.status, 304)
})

test('answers HEAD like GET without a body', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  const got = await service.get(`/runs/${id}`)
  const head = await service.fetch(`/runs/${id}`, { method: 'HEAD' })
  assert.is(head.status, 200)
  for (const name of ['ETag', 'Content-Type', 'Content-Length'])
    assert.is(head.headers.get(name), got.headers.get(name))
  assert.is(await head.text(), '')
})

test('knows no run of another id', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  const ids = [
    '00000000-0000-7000-8000-000000000000',
    'x',
    '1',
    id.slice(1),
    `${id}0`,
    '%2e%2e',
    '%00',
    '%zz',
    '__proto__',
  ]
  for (const other of [...ids, `${id}%2Fjobs%2F0`, `..%2F${id}`, `${id}%20`, `${id}'--`]) {
    await expectProblem(await exchange(service.url, `GET /runs/${other}`), 'run-not-found')
    await expectProblem(await exchange(service.url, `GET /runs/${other}/jobs/0`), 'run-not-found')
  }
})

test('knows no job of another index', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  for (const index of ['1', '-1', '00', '0.0', '1e0', '0x0', '%30%30', 'x', 'length', '999999999999999999999']) {
    const problem = await expectProblem(await service.get(`/runs/${id}/jobs/${index}`), 'job-not-found')
    assert.is(problem.runId, id)
  }
})

test.run()
