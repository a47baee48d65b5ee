/** GET /stats/recent: what the process runs now, and how its last minutes were. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RecentView } from '../../src/http/views/stats.ts'
import { readRun } from '../harness/run.ts'
import { type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

async function recent(service: Service): Promise<RecentView> {
  return (await (await service.get('/stats/recent')).json()) as RecentView
}

test('names the jobs on the threads, and counts attempts by task', async () => {
  await using service = await startService()
  const empty = await recent(service)
  assert.equal(
    empty.events.map(({ kind, count }) => [kind, count]),
    [['started', 1]],
  )
  assert.equal([empty.running, empty.tasks, empty.firstResponseMs], [[], [], { count: 0, p50: null, p99: null }])
  const failing = { name: 'fail', maxAttempts: 1 }
  const tasks = [{ name: 'echo' }, { name: 'wait', input: { ms: 60_000 } }, failing, failing]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  const figures = await until('three have ended, and one runs', async () => {
    const now = await recent(service)
    return now.tasks.find(({ name }) => name === 'fail')?.failed === 2 && now.running.length === 1 && now
  })
  const [{ runId, jobIndex, task, attempt, thread, startedAt } = {}] = figures.running
  assert.equal([runId, jobIndex, task, attempt], [id, 1, 'wait', 1])
  assert.match(thread ?? '', /^worker-/)
  assert.ok(Math.abs(Date.now() - Date.parse(startedAt ?? '')) < 60_000)
  const echo = figures.tasks.find(({ name }) => name === 'echo')
  assert.equal([echo?.completed, echo?.failed, echo?.runMs.count, echo?.waitMs.count], [1, 0, 1, 0])
  assert.is(figures.firstResponseMs.count, 1)
  assert.is(figures.queueWaitMs.count, 2)
  await service.post(`/runs/${id}/cancel`)
  await until('nothing runs', async () => (await recent(service)).running.length === 0)
})

test.run()
