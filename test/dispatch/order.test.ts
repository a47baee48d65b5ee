/** Which waiting job is next, and which has to wait though there is room. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { startDispatchService } from './dispatch-service.ts'

test('higher priorities come first, and equal ones in order of acceptance', async () => {
  await using dispatch = await startDispatchService({ ioConcurrency: 1 })
  const meeting = `${dispatch.service.url}/order`
  const holder = await dispatch.accept({ name: 'meets-io', input: { meeting, count: 2 } })
  await dispatch.runWhen(holder, 'the only lane is taken', ({ jobs }) => jobs[0]?.state === 'running')
  const numbered = (priority?: number) => ({ name: 'numbered-io', ...(priority !== undefined && { priority }) })
  const runs = [
    await dispatch.accept(numbered(0), numbered(9)),
    await dispatch.accept(numbered()),
    await dispatch.accept(numbered(9), numbered(5), numbered(9)),
    await dispatch.accept(numbered(0)),
  ]
  await attend({ meeting, count: 2 }, 'the test')
  const results: unknown[][] = []
  for (const id of runs) {
    const { jobs } = await dispatch.runWhen(id, 'the run is final', ({ state }) => state !== 'running')
    results.push(jobs.map(({ result }) => result))
  }
  assert.equal(results, [[5, 1], [6], [2, 4, 3], [7]])
})

test('no more jobs of a task run at once than it allows, and others pass those that wait', async () => {
  await using dispatch = await startDispatchService({ ioConcurrency: 10 })
  const meetings = [0, 1, 2, 3, 4].map((index) => `${dispatch.service.url}/limited/${index}`)
  const id = await dispatch.accept(...meetings.map((input) => ({ name: 'limited-io', input })))
  for (const [index, meeting] of meetings.entries()) {
    const open = meetings.length - index
    const expected = { completed: index, running: Math.min(2, open), queued: Math.max(0, open - 2) }
    await dispatch.runWhen(id, `${index} are done and two run`, ({ jobs }) =>
      Object.entries(expected).every(([state, count]) => jobs.filter((job) => job.state === state).length === count),
    )
    assert.is((await dispatch.ended(await dispatch.accept({ name: 'numbered-io' }))).result, index + 1)
    await attend({ meeting, count: 2 }, 'the test')
  }
  const { jobs } = await dispatch.runWhen(id, 'the run is final', ({ state }) => state !== 'running')
  assert.equal(
    jobs.map(({ state }) => state),
    meetings.map(() => 'completed'),
  )
  assert.ok(
    jobs.every(({ result }) => Number(result) <= 2),
    JSON.stringify(jobs.map(({ result }) => result)),
  )
})

test.run()
