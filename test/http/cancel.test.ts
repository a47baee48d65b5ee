/** Cancelling on request: waiting and running jobs, on threads and on the main one. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { jobAt, readProblem, readRun, readStats } from '../harness/run.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'
import { answersOf, sendBytes } from './raw.ts'

const wait = { name: 'wait', input: { ms: 60_000 } }
const spin = { name: 'spin', input: { ms: 60_000 } }

test('a run is cancelled at once: waiting jobs never start, running ones are stopped', async () => {
  await using service = await startService({ threads: 1 })
  const body = { respond: 'none', tasks: [wait, spin, spin] }
  const accepted = await readRun(await service.post('/run-tasks', body))
  const path = `/runs/${accepted.id}`
  await until('two jobs run', async () => {
    const { jobs } = await readRun(await service.get(path))
    return jobs.filter(({ state }) => state === 'running').length === 2
  })
  const response = await service.post(`${path}/cancel`)
  assert.is(response.status, 202)
  const run = await readRun(response)
  assert.is(run.state, 'cancelled')
  assert.equal(new Set(run.jobs.map(({ state }) => state)), new Set(['cancelled']))
  assert.is(jobAt(run, 2).startedAt, null)
  assert.is(Reflect.get(Object(jobAt(run, 0).error), 'code'), 'cancelled')

  // The endless job's thread is free again, so another run of that kind is done.
  const next = await readRun(
    await service.post('/run-tasks', { respond: 'all', tasks: [{ name: 'spin', input: { ms: 1 } }] }),
  )
  assert.equal(next.results, [true])
  assert.is((await service.post(`${path}/cancel`)).status, 200)
})

test('one job is cancelled and the others continue', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'echo', input: 'first' }, wait, { name: 'wait', input: { ms: 1 } }]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  assert.is((await service.post(`/runs/${id}/jobs/1/cancel`)).status, 202)
  const run = await until('the run is final', async () => {
    const current = await readRun(await service.get(`/runs/${id}`))
    return current.state !== 'running' && current
  })
  assert.is(run.state, 'cancelled')
  assert.equal(
    run.jobs.map(({ state }) => state),
    ['completed', 'cancelled', 'completed'],
  )
})

test('a first job that is cancelled is answered as failed, and hears its signal', async () => {
  await using service = await shareService()
  const asked = service.post('/run-tasks', { tasks: [wait] })
  const id = await until('the run is there', async () => {
    const list: { runs: { id: string }[] } = JSON.parse(await (await service.get('/runs')).text())
    return list.runs[0]?.id
  })
  assert.is((await service.post(`/runs/${id}/cancel`)).status, 202)
  const response = await asked
  assert.is(response.status, 500)
  const problem = await readProblem(response)
  assert.is(problem.type, '/problems/first-task-failed')
  assert.is(Reflect.get(Object(problem.error), 'code'), 'cancelled')
})

/** POSTs without a body that reach the service together. */
async function postTogether(service: Service, ...paths: string[]): Promise<Response[]> {
  const requests = paths.map((path, index) => {
    const connection = index === paths.length - 1 ? 'close' : 'keep-alive'
    return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: ${connection}\r\n\r\n`
  })
  return answersOf(await sendBytes(service.url, requests.join('')))
}

async function jobsOnThreads(service: Service): Promise<number> {
  const { threads } = await readStats(service)
  return threads.reduce((sum, { running }) => sum + running, 0)
}

for (const job of [wait, spin]) {
  test(`a job (${job.name}) that is cancelled in the commit of its claim does not keep its thread`, async () => {
    await using service = await startService({ threads: 1 })
    const body = { respond: 'none', tasks: [{ ...job, delayMs: 60_000 }] }
    const { id } = await readRun(await service.post('/run-tasks', body))
    await service.post(`/runs/${id}/cancel`)
    // The retry asks for a claim at once, and the cancel comes before that is committed.
    const answers = await postTogether(service, `/runs/${id}/jobs/0/retry`, `/runs/${id}/cancel`)
    assert.equal(
      answers.map(({ status }) => status),
      [202, 202],
    )
    const run = await readRun(await service.get(`/runs/${id}`))
    assert.is(run.state, 'cancelled')
    // In PostgreSQL, what one commit queues the next one claims, which the cancel may come before.
    const isClaimed = service.config.databaseUrl.startsWith('sqlite:')
    if (isClaimed) assert.is(jobAt(run, 0).attempt, 1, 'it was claimed')
    await until('the thread is free', async () => (await jobsOnThreads(service)) === 0)
  })
}

test('a job that is cancelled and retried in one commit starts again', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/again`, count: 2 }
  const body = { respond: 'none', tasks: [{ name: 'meet', input: meeting }] }
  const { id } = await readRun(await service.post('/run-tasks', body))
  const { version } = await until('it runs', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return jobAt(now, 0).state === 'running' && now
  })
  await postTogether(service, `/runs/${id}/cancel`, `/runs/${id}/jobs/0/retry`)
  await until('it is cancelled, queued and claimed', async () => {
    return (await readRun(await service.get(`/runs/${id}`))).version === version + 3
  })
  await until('the first attempt is gone', async () => (await jobsOnThreads(service)) === 1)
  await attend(meeting, 'the test')
  const run = await until('the run has ended', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return now.state !== 'running' && now
  })
  assert.equal([run.state, jobAt(run, 0).attempt], ['completed', 1])
})

for (const place of ['on the main thread', 'in the pool']) {
  test(`a cancel never stops the attempt of a retry right after it: ${place}`, async () => {
    await using service = await shareService()
    const respond = place === 'in the pool' ? 'none' : 'first'
    for (let round = 0; round < 30; round += 1) {
      const meeting = { meeting: `${service.url}/${round}`, count: 2 }
      const tag = `round-${round}`
      const asked = service.post('/run-tasks', { respond, tags: [tag], tasks: [{ name: 'meet', input: meeting }] })
      const { id } = await until('it runs', async () => {
        const list = (await (await service.get(`/runs?tag=${tag}`)).json()) as { runs: RunView[] }
        return list.runs.find(({ jobs: [job] }) => job?.state === 'running')
      })
      const accepted = await Promise.all([service.post(`/runs/${id}/cancel`), retryWhenCancelled(service, id)])
      assert.equal(
        accepted.map(({ status }) => status),
        [202, 202],
      )
      await attend(meeting, 'the test', AbortSignal.timeout(5_000))
      await asked
      const run = await until('the run has ended', async () => {
        const now = await readRun(await service.get(`/runs/${id}`))
        return now.state !== 'running' && now
      })
      assert.equal([run.state, jobAt(run, 0).attempt], ['completed', 1], JSON.stringify(run))
    }
  })
}

/** Asks for the retry again and again, so that it comes right after the cancel. */
async function retryWhenCancelled(service: Service, id: string): Promise<Response> {
  for (;;) {
    const response = await service.post(`/runs/${id}/jobs/0/retry`)
    if (response.status !== 409) return response
  }
}

test('responses to cancels, retries and repeated requests include the progress of running jobs', async () => {
  await using service = await shareService()
  const input = { meeting: `${service.url}/progress`, steps: [[0.5]] }
  const tasks = [{ name: 'echo' }, { name: 'tells', input }, { ...wait, delayMs: 60_000 }]
  const key = { 'Idempotency-Key': 'k' }
  const { id } = await readRun(await service.post('/run-tasks', { tasks }, key))
  await until('there is progress', async () => {
    return jobAt(await readRun(await service.get(`/runs/${id}`)), 1).progress === 0.5
  })
  const job = `/runs/${id}/jobs/2`
  for (const response of [
    await service.post(`${job}/cancel`),
    await service.post(`${job}/cancel`),
    await service.post(`${job}/retry`),
    await service.post('/run-tasks', { tasks }, key),
  ]) {
    assert.is(jobAt(await readRun(response), 1).progress, 0.5)
  }
})

test('ended jobs cannot be cancelled, and unknown ones are not found', async () => {
  await using service = await shareService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  for (const path of [`/runs/${id}/cancel`, `/runs/${id}/jobs/0/cancel`]) {
    const response = await service.post(path)
    assert.is(response.status, 409)
    assert.is((await readProblem(response)).type, '/problems/not-cancellable')
  }
  for (const index of ['1', 'x']) {
    const problem = await expectProblem(await service.post(`/runs/${id}/jobs/${index}/cancel`), 'job-not-found')
    assert.is(problem.runId, id)
  }
  assert.is((await service.post('/runs/nothing/cancel')).status, 404)
})

test.run()
