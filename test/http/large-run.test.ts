/** A run with results that are too large to be read at once is answered with all the same, piece by piece. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createForerunner } from 'forerunner'
import { listRuns, readRun } from '../harness/run.ts'
import { fixtureTasks, type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'
import { open } from './raw.ts'

const text = (length: number) => 'ä'.repeat(length / 2)
const large = { name: 'echo', input: text(400_000) }
const failing = { name: 'fail', input: { message: 'm'.repeat(4_000) } }

async function ended(service: Service, id: string): Promise<void> {
  await until('the run has ended', async () => (await readRun(await service.get(`/runs/${id}`))).state !== 'running')
}

test('the run, its parts and its short form have every result', async () => {
  await using service = await shareService()
  const tasks = [large, { name: 'echo', input: 'small' }, large]
  const response = await service.post('/run-tasks', { respond: 'all', tasks })
  assert.is(response.status, 200)
  const results = tasks.map(({ input }) => input)
  const { id, ...run } = await readRun(response)
  assert.equal(run.results, results)
  assert.equal(
    run.jobs.map(({ result }) => result),
    results,
  )
  assert.equal(await (await service.get(`/runs/${id}`)).json(), { id, ...run })
  for (const index of [0, 1, 2]) {
    assert.equal(await (await service.get(`/runs/${id}/jobs/${index}`)).json(), run.jobs[index])
  }
  const first = await service.post('/run-tasks', { tasks: [large] }, { Prefer: 'return=minimal' })
  const { id: other, ...minimal } = await readRun(first)
  assert.equal(minimal, { state: 'completed', result: large.input })
  const whole = await readRun(await service.get(`/runs/${other}`))
  assert.equal([whole.result, whole.jobs[0]?.result], [large.input, large.input])

  const head = await service.fetch(`/runs/${id}`, { method: 'HEAD' })
  assert.is(head.status, 200)
  assert.ok(head.headers.has('ETag'))
  const { status } = await service.get(`/runs/${id}`, { 'If-None-Match': head.headers.get('ETag') ?? '' })
  assert.is(status, 304)
})

test('a replay has every result too', async () => {
  await using service = await shareService()
  const key = { 'Idempotency-Key': 'k' }
  const request = { respond: 'all', tasks: [large, large] }
  const first = await readRun(await service.post('/run-tasks', request, key))
  const again = await service.post('/run-tasks', request, key)
  assert.is(again.headers.get('Idempotency-Replayed'), 'true')
  assert.equal(await readRun(again), first)
})

test('lists, events and problems omit large values, and say so', async () => {
  await using service = await shareService()
  const problem = await expectProblem(
    await service.post('/run-tasks', { respond: 'all', tasks: [large, failing] }),
    'tasks-failed',
  )
  const [first, second] = problem.jobs ?? []
  const bytes = Buffer.byteLength(JSON.stringify(large.input))
  assert.equal([first?.resultBytes, 'result' in (first ?? {})], [bytes, false])
  assert.is(second?.state, 'failed')
  const id = String(problem.runId)
  const events = await (await service.get(`/runs/${id}/events`)).text()
  assert.match(events, `"resultBytes":${bytes}`)
  assert.ok(events.length < 20_000)
  const runs = await listRuns(service)
  for (const job of runs[0]?.jobs ?? []) assert.equal(['result' in job, 'failures' in job], [false, false])
})

test('a failed first job shows the details of its error, however large the run is', async () => {
  await using service = await startService({ logLevel: 'debug' })
  const message = 'm'.repeat(4_000)
  const tasks = [{ name: 'fail', input: { message } }, large]
  const problem = await expectProblem(await service.post('/run-tasks', { tasks }), 'first-task-failed')
  assert.is(problem.error?.message, message)
  await ended(service, String(problem.runId))
  const run = await readRun(await service.get(`/runs/${problem.runId}`))
  assert.equal([run.jobs[0]?.error, run.jobs[1]?.result], [problem.error, large.input])
})

test('the library has every result', async () => {
  const forerunner = createForerunner({ databaseUrl: 'sqlite::memory:', tasksDir: fixtureTasks, logLevel: 'silent' })
  await forerunner.start()
  try {
    const { results } = await forerunner.run({ respond: 'all', tasks: [large, large] })
    assert.equal(results, [large.input, large.input])
  } finally {
    await forerunner.stop()
  }
})

test('a response that finds no room is refused, with the id of an accepted run', async () => {
  await using service = await startService({ maxInFlightBytes: 1_048_576 })
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'all', tasks: [large, large] }))
  const socket = open(service.url)
  socket.pause()
  // More than the buffers of a connection take.
  socket.write(`GET /runs/${id} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(30))
  const refused = await until('there is no room', async () => {
    const response = await service.get(`/runs/${id}`)
    return response.status === 503 && response
  })
  await expectProblem(refused, 'overloaded')
  assert.is(refused.headers.get('Retry-After'), '1')
  let key = 0
  const unanswered = await until('a run is not answered for want of room', async () => {
    const response = await service.post('/run-tasks', { tasks: [large] }, { 'Idempotency-Key': `${(key += 1)}` })
    return response.status === 503 && response
  })
  const problem = await expectProblem(unanswered, 'overloaded')
  const small = await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 1 }] })
  assert.is(small.status, 200)

  socket.destroy()
  const again = await until('there is room', async () => {
    const response = await service.post('/run-tasks', { tasks: [large] }, { 'Idempotency-Key': `${key}` })
    return response.status === 200 && readRun(response)
  })
  assert.equal([again.id, again.result], [problem.runId, large.input])
})

test.run()
