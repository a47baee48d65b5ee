/** Queueing a job again that failed, and deleting a run that has ended. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newRunId } from '../../src/domain/ids.ts'
import type { RunView } from '../../src/http/views/run.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { jobAt, listRuns, readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

function ended(service: Service, id: string): Promise<RunView> {
  return until('the run has ended', async () => {
    const run = await readRun(await service.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

async function failedRun(service: Service): Promise<string> {
  const tasks = [{ name: 'flaky', maxAttempts: 1 }]
  const { runId } = await expectProblem(await service.post('/run-tasks', { tasks }), 'first-task-failed')
  return String(runId)
}

function remove(service: Service, id: string): Promise<Response> {
  return service.fetch(`/runs/${id}`, { method: 'DELETE' })
}

test('a failed job is queued again with fresh attempts; the answer of its run stays', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'fail' }, { name: 'echo', input: 1 }]
  const problem = await expectProblem(await service.post('/run-tasks', { tasks }), 'first-task-failed')
  const before = await ended(service, String(problem.runId))
  const response = await service.post(`/runs/${before.id}/jobs/0/retry`)
  assert.is(response.status, 202)
  const queued = await readRun(response)
  assert.ok(queued.version > before.version)
  assert.equal([queued.answer, queued.respondedAt], [before.answer, before.respondedAt])
  const after = await ended(service, before.id)
  const job = jobAt(after, 0)
  assert.equal([job.state, job.attempt, job.failures?.length], ['failed', 1, 2])
  assert.match(String(job.thread), /^worker-/)
})

test('a cancelled job runs when it is retried, and its run completes with it', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'echo', input: 'later', delayMs: 60_000 }]
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'none', tasks }))
  await service.post(`/runs/${id}/cancel`)
  assert.is((await ended(service, id)).state, 'cancelled')
  assert.is((await service.post(`/runs/${id}/jobs/0/retry`)).status, 202)
  const run = await ended(service, id)
  assert.equal([run.state, jobAt(run, 0).result, jobAt(run, 0).attempt], ['completed', 'later', 1])
})

test('a failed answer is repeated for its key, even after a retry of its job', async () => {
  await using service = await startService({ threads: 1 })
  const key = { 'Idempotency-Key': 'k' }
  const body = { tasks: [{ name: 'fail' }, { name: 'spin', input: { ms: 60_000 } }] }
  const first = await expectProblem(await service.post('/run-tasks', body, key), 'first-task-failed')
  // Its thread is busy, so it only waits.
  assert.is((await service.post(`/runs/${first.runId}/jobs/0/retry`)).status, 202)
  assert.is(jobAt(await readRun(await service.get(`/runs/${first.runId}`)), 0).error, null)
  const again = await expectProblem(await service.post('/run-tasks', body, key), 'first-task-failed')
  assert.equal(again, first)
  await service.post(`/runs/${first.runId}/cancel`)
})

test('unfinished and completed jobs cannot be retried, and unknown ones are not found', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'echo', input: 1 }, waiting]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  for (const index of [0, 1]) {
    const problem = await expectProblem(await service.post(`/runs/${id}/jobs/${index}/retry`), 'not-retryable')
    assert.is(problem.runId, id)
  }
  for (const index of ['2', '-1', '01', 'x', '1e1']) {
    const problem = await expectProblem(await service.post(`/runs/${id}/jobs/${index}/retry`), 'job-not-found')
    assert.is(problem.runId, id)
  }
  await expectProblem(await service.post(`/runs/${newRunId()}/jobs/0/retry`), 'run-not-found')
  await expectProblem(await service.post('/runs/nonsense/jobs/0/retry'), 'run-not-found')
})

test('a retry is refused when there is no room, and when the service is leaving', async () => {
  await using service = await startService({ maxBacklog: 1 })
  const id = await failedRun(service)
  await service.post('/run-tasks', { respond: 'none', tasks: [waiting] })
  await expectProblem(await service.post(`/runs/${id}/jobs/0/retry`), 'overloaded')
  await service.app.drain()
  await expectProblem(await service.post(`/runs/${id}/jobs/0/retry`), 'shutting-down')
  assert.is((await readRun(await service.get(`/runs/${id}`))).state, 'failed')
})

test('a finished run is deleted, and nothing of it is left', async () => {
  await using service = await shareService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 1 }], tags: ['t'] }))
  const response = await remove(service, id)
  assert.is(response.status, 204)
  assert.is(await response.text(), '')
  for (const path of [`/runs/${id}`, `/runs/${id}/jobs/0`])
    await expectProblem(await service.get(path), 'run-not-found')
  assert.equal(await (await service.get('/runs?tag=t')).json(), { runs: [], nextPageToken: null, pageSize: 50 })
  await expectProblem(await remove(service, id), 'run-not-found')
  await expectProblem(await remove(service, 'nonsense'), 'run-not-found')
})

test('a run is not deleted before its caller has the answer', async () => {
  await using service = await shareService()
  for (let round = 0; round < 15; round += 1) {
    const meeting = { meeting: `${service.url}/${round}`, count: 3 }
    const meet = { name: 'meet', input: meeting }
    const asked = service.post('/run-tasks', { respond: 'all', tasks: [meet, meet] })
    const id = await until('the run is there', async () => {
      const runs = await listRuns(service)
      return runs[0]?.id
    })
    const removing = until('the run is deleted', async () => (await remove(service, id)).status === 204)
    await attend(meeting, 'the test')
    assert.is((await asked).status, 200, `in round ${round}`)
    await removing
  }
})

test('a run that has a job to do is not deleted', async () => {
  await using service = await shareService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 1 }, waiting] }))
  const problem = await expectProblem(await remove(service, id), 'run-active')
  assert.is(problem.runId, id)
  await service.post(`/runs/${id}/cancel`)
  assert.is((await remove(service, id)).status, 204)
})

test.run()
