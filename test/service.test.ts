/** The order in which the parts of a service stop. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openEvents } from './harness/event-client.ts'
import { jobAt, listRuns, readRun } from './harness/run.ts'
import { startService } from './harness/service.ts'
import { until } from './harness/until.ts'
import { expectProblem } from './http/expect-problem.ts'

const endless = { name: 'wait', input: { ms: 1_000_000 } }

test('refuses runs first, then ends jobs, then the waits of callers, then streams', async () => {
  await using service = await startService({ shutdownGraceMs: 60_000 })
  const ended: string[] = []
  const answering = service
    .post('/run-tasks', { respond: 'all', tasks: [{ name: 'echo', input: 1 }, endless] })
    .finally(() => ended.push('caller'))
  await until('the pool runs a job', async () => (await listRuns(service))[0]?.jobs[1]?.state === 'running')
  const path = `/runs/${(await listRuns(service))[0]?.id}`
  await using events = await openEvents(`${service.url}${path}/events`)
  const streaming = events.rest().finally(() => ended.push('stream'))

  const draining = service.app.drain().finally(() => ended.push('service'))
  await expectProblem(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }), 'shutting-down')
  assert.is(jobAt(await readRun(await service.get(path)), 1).state, 'running')
  assert.equal(ended, [], 'while a job runs, its caller and its streams wait')

  await service.post(`${path}/jobs/1/cancel`)
  await expectProblem(await answering, 'tasks-failed')
  const last = (await streaming).at(-1)
  assert.ok(last?.type === 'run' && jobAt(last.run, 1).state === 'cancelled', 'the stream shows how the job ended')
  assert.ok(await draining, 'every outcome is committed')
})

test.run()
