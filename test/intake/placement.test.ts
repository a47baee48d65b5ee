/** All jobs of a run start at once: the first on the main thread, the others in the pool. Nothing here looks at a clock. */
import { threadId } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

interface Place {
  readonly isMainThread: boolean
  readonly threadId: number
}

/** As on a machine with two cores, and with a budget that a first job keeps however slow they are. */
const twoCores = { threads: 1, ioThreads: 1, mainBudgetMs: 10_000 }

/** So many jobs, each of which ends only when all the others run too. */
function meeting(service: Service, name: string, count: number, others = 0) {
  const input = { meeting: `${service.url}/${name}`, count: count + others }
  return Array.from({ length: count }, () => ({ name: 'meet', input }))
}

test('the first job runs while the others do', async () => {
  await using service = await shareService(twoCores)
  const response = await service.post('/run-tasks', { respond: 'all', tasks: meeting(service, 'three', 3) })
  assert.is(response.status, 200)
  assert.equal((await readRun(response)).results, [3, 3, 3])
})

test('the other jobs start before the first one ends, and still run when it is answered', async () => {
  await using service = await shareService(twoCores)
  const [early] = meeting(service, 'early', 1, 1)
  const [late] = meeting(service, 'late', 2, 1)
  const posted = service.post('/run-tasks', { tasks: [early, late, late] })
  assert.is(await attend({ meeting: `${service.url}/early`, count: 2 }, 'the test'), 2)
  const run = await readRun(await posted)
  assert.is(run.result, 2)
  assert.is(run.state, 'running')
  // The test is the one that both of the others wait for, so neither has ended and each has begun.
  assert.equal(
    run.jobs.map(({ state }) => state),
    ['completed', 'running', 'running'],
  )
})

test('as many jobs as there is room for run at once', async () => {
  await using service = await startService({ ...twoCores, ioConcurrency: 50, maxTasksPerRun: 51 })
  const response = await service.post('/run-tasks', { respond: 'all', tasks: meeting(service, 'many', 51) })
  assert.is(response.status, 200)
  assert.is((await readRun(response)).results?.length, 51)
})

test('first jobs of several callers run at once', async () => {
  await using service = await shareService(twoCores)
  const [task] = meeting(service, 'callers', 3)
  const responses = await Promise.all([1, 2, 3].map(() => service.post('/run-tasks', { tasks: [task] })))
  for (const response of responses) {
    const run = await readRun(response)
    assert.is(run.result, 3)
    assert.is(jobAt(run, 0).thread, 'main')
  }
})

test('the first job runs on the main thread and the others on threads of the pool', async () => {
  await using service = await shareService(twoCores)
  const tasks = ['where', 'where', 'flaky', 'where'].map((name) => ({ name, maxAttempts: name === 'flaky' ? 2 : 1 }))
  const run = await readRun(await service.post('/run-tasks', { respond: 'all', tasks }))
  const [first, second, third, fourth] = run.results as [Place, Place, Place, Place]
  assert.equal(first, { isMainThread: true, threadId })
  for (const place of [second, third, fourth]) assert.is(place.isMainThread, false)
  assert.is(second.threadId, fourth.threadId, 'jobs of kind io share a thread')
  assert.is(jobAt(run, 0).thread, 'main')
  assert.equal(
    run.jobs.slice(1).map(({ thread }) => thread),
    ['worker-2', 'worker-1', 'worker-2'],
  )
})

test('without an answer to wait for the first job runs in the pool too', async () => {
  await using service = await shareService(twoCores)
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'none', tasks: [{ name: 'where' }] }))
  const job = await until('the job has ended', async () => {
    const now = jobAt(await readRun(await service.get(`/runs/${id}`)), 0)
    return now.state === 'completed' && now
  })
  assert.is((job.result as Place).isMainThread, false)
})

test('a job that blocks its thread does not hold up the first one', async () => {
  await using service = await shareService(twoCores)
  // It would spin for a minute, and ends with the service.
  const spin = { name: 'spin', input: { ms: 60_000 } }
  const run = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'where' }, spin, { name: 'where' }] }))
  assert.is((run.result as Place).isMainThread, true)
  const other = await until('the job beside it has ended', async () => {
    const now = jobAt(await readRun(await service.get(`/runs/${run.id}`)), 2)
    return now.state === 'completed' && now
  })
  assert.is(other.thread, 'worker-2')
  assert.is(jobAt(await readRun(await service.get(`/runs/${run.id}`)), 1).state, 'running')
})

test.run()
