/** Jobs that have not started in time, in a running service. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { startDispatchService } from './dispatch-service.ts'

test('a job that waits too long for a limit expires; one that has started continues', async () => {
  await using dispatch = await startDispatchService()
  const meetings = [0, 1, 2].map((index) => `${dispatch.service.url}/expiry/${index}`)
  const limits = [60_000, undefined, 50]
  const tasks = meetings.map((input, index) => ({ name: 'limited-io', input, expiresMs: limits[index] }))
  const id = await dispatch.accept(...tasks)
  const { jobs } = await dispatch.runWhen(
    id,
    'the third has expired',
    ({ jobs: [, , third] }) => third?.state === 'failed',
  )
  assert.equal(
    jobs.map(({ state, error }) => [state, error?.code ?? null]),
    [
      ['running', null],
      ['running', null],
      ['failed', 'expired'],
    ],
  )
  assert.equal([jobs[2]?.attempt, jobs[2]?.failures, jobs[2]?.startedAt], [0, [], null])
  for (const meeting of meetings.slice(0, 2)) await attend({ meeting, count: 2 }, 'the test')
  const { state } = await dispatch.runWhen(id, 'the others have ended', (run) => run.state !== 'running')
  assert.is(state, 'failed')
})

test.run()
