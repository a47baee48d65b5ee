/** Nothing runs before its run is committed, and no answer leaves before it is. */
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/http/views/job.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

interface Seen {
  readonly status: number
  readonly job: JobView
}

// However slow the machine: a first job that overruns its budget would be moved to the pool.
const patient = { mainBudgetMs: 10_000 }

test('a job that runs can read itself as running, on the main thread and in the pool', async () => {
  await using service = await startService(patient)
  const task = { name: 'own-run', input: { url: service.url } }
  for (let round = 0; round < 10; round += 1) {
    const response = await service.post('/run-tasks', { respond: 'all', tasks: [task, task, task] })
    const { results } = await readRun(response)
    assert.is(results?.length, 3)
    for (const [index, { status, job }] of (results as Seen[]).entries()) {
      assert.is(status, 200)
      assert.is(job.index, index)
      assert.is(job.state, 'running')
      assert.is(job.attempt, 1)
      assert.is(job.thread === 'main', index === 0)
      assert.ok(job.startedAt !== null)
    }
  }
})

test('a job without a waiting caller can also read itself as running', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'own-run', input: { url: service.url } }]
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'none', tasks }))
  const ended = await until('the job has ended', async () => {
    const now = jobAt(await readRun(await service.get(`/runs/${id}`)), 0)
    return now.finishedAt !== null && now
  })
  const { status, job } = ended.result as Seen
  assert.is(status, 200)
  assert.is(job.state, 'running')
})

test('an answer that has been sent can be read at once by everyone', async () => {
  await using service = await shareService()
  const ask = async (index: number) => {
    const posted = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: index }] }))
    const read = await readRun(await service.get(`/runs/${posted.id}`))
    assert.equal(read, posted)
    assert.is(read.result, index)
  }
  await Promise.all(Array.from({ length: 100 }, (_, index) => ask(index)))
})

test('an answered run survives a restart', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databaseUrl = `sqlite:${join(directory.path, 'runs.db')}`
  const tasks = [
    { name: 'echo', input: { kept: true } },
    { name: 'echo', delayMs: 60_000 },
  ]
  const before = await startService({ databaseUrl })
  const answer = await readRun(await before.post('/run-tasks', { tasks, tags: ['kept'] }))
  // Known to the process that has accepted the run.
  const { committedAt: _committedAt, ...posted } = answer
  await before.stop()
  await using after = await startService({ databaseUrl })
  assert.equal(await readRun(await after.get(`/runs/${posted.id}`)), posted)
})

test.run()
