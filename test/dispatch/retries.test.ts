/** Which attempt follows a failed one, and when. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startDispatchService } from './dispatch-service.ts'

test('a failed attempt waits, and shows until when', async () => {
  await using dispatch = await startDispatchService()
  const { service, accept, runWhen } = dispatch
  const id = await accept({ name: 'fails-cpu', maxAttempts: 100 })
  // The first waits are short, and the time between two looks is not known: one of the later ones is seen.
  const run = await runWhen(id, 'it waits', ({ jobs }) => jobs[0]?.state === 'retrying')
  const [job] = run.jobs
  assert.is(run.state, 'running')
  assert.is(job?.finishedAt, null)
  assert.is(job?.error, null)
  const failures = job?.failures ?? []
  assert.is(failures.length, job?.attempt)
  assert.ok(String(job?.runAt) > String(failures.at(-1)?.finishedAt))
  assert.equal(
    failures.map(({ attempt }) => attempt),
    failures.map((_, index) => index + 1),
  )
  assert.is((await service.post(`/runs/${id}/cancel`)).status, 202)
  assert.is((await dispatch.ended(id)).state, 'cancelled')
})

test('a task that calls retrying useless fails at once', async () => {
  await using dispatch = await startDispatchService()
  const job = await dispatch.ended(await dispatch.accept({ name: 'fails-cpu', input: { retryable: false } }))
  assert.equal([job.state, job.attempt, job.failures?.length, job.runAt], ['failed', 1, 1, null])
})

test('a request may allow fewer attempts than the task does, and more', async () => {
  await using dispatch = await startDispatchService()
  for (const [name, maxAttempts] of [
    ['fails-cpu', 1],
    ['fails-cpu', 2],
    ['fails-once-allowed', 2],
  ] as const) {
    const job = await dispatch.ended(await dispatch.accept({ name, maxAttempts }))
    assert.equal([job.state, job.attempt, job.maxAttempts], ['failed', maxAttempts, maxAttempts])
    assert.is(job.failures?.length, maxAttempts)
  }
})

test.run()
