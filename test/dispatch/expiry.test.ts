/** Jobs that have not started in time, in a running service; and the rounds in which they are looked for. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createExpiry, createPeriodic } from '../../src/dispatch/periodic.ts'
import { createLog } from '../../src/log.ts'
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

test('runs with expired jobs are counted over all calls of a round', async () => {
  const counts = [2, 1]
  const lines: unknown[][] = []
  const log = Object.assign(createLog('silent'), { info: (...line: unknown[]) => void lines.push(line) })
  const expiry = createExpiry({ store: { expire: async () => counts.shift() ?? 0 }, clock: { now: () => 0 }, log })
  expiry.start()
  await expiry.stop()
  assert.equal(lines, [[{ runs: 3 }, 'runs have expired jobs, which had not started in time']])
})

test('after a round that throws or rejects, further rounds follow', async () => {
  const { promise: third, resolve } = Promise.withResolvers<void>()
  const failures: unknown[] = []
  const rounds = [
    () => {
      throw 'thrown'
    },
    () => Promise.reject('rejected'),
    resolve,
  ]
  const periodic = createPeriodic({
    pauseMs: 1,
    round: () => rounds.shift()?.(),
    onFailed: (error) => failures.push(error),
  })
  periodic.start()
  await third
  await periodic.stop()
  assert.equal(failures, ['thrown', 'rejected'])
})

test.run()
