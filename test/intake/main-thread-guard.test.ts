/** First jobs that hold up the main thread are moved to the pool, and their callers get their answer all the same. */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt, readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'

const tasksDir = fileURLToPath(new URL('../fixtures/main-tasks/', import.meta.url))

test('an endless loop is interrupted, and the answer comes from the pool with no attempt spent', async () => {
  await using service = await startService({ tasksDir, mainBudgetMs: 20 })
  const response = await service.post('/run-tasks', { tasks: [{ name: 'runaway', input: 'loop' }] })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.is(run.result, 'pool true')
  const { thread, attempt, failures } = jobAt(run, 0)
  assert.is(thread, 'worker-1')
  assert.is(attempt, 1)
  assert.equal(failures, [])
})

test('after an overrun the first jobs of that task are placed in the pool; other tasks stay', async () => {
  await using service = await startService({ tasksDir, mainBudgetMs: 500 })
  const ask = async (name: string, input: unknown) => {
    const run = await readRun(await service.post('/run-tasks', { tasks: [{ name, input }] }))
    return jobAt(run, 0).thread
  }
  assert.is(await ask('runaway', 'quick'), 'main')
  // One counts, unless the machine was too busy to let it loop: then the third in a row does.
  for (let loop = 0; loop < 3; loop += 1) assert.is(await ask('runaway', 'loop'), 'worker-1')
  assert.is(await ask('runaway', 'quick'), 'worker-1')
  assert.is(await ask('echo', 1), 'main')
})

test('a call that was proven quick and then takes long cools down in the pool', async () => {
  await using service = await startService({ tasksDir, mainBudgetMs: 1_000 })
  const ask = async (input: string) =>
    readRun(await service.post('/run-tasks', { tasks: [{ name: 'runaway', input }] }))
  for (let call = 0; call < 20; call += 1) assert.is((await ask('quick')).result, 'quick')
  const overrun = await ask('busy')
  assert.is(overrun.result, 'busy')
  assert.is(jobAt(overrun, 0).thread, 'main')
  assert.is(jobAt(await ask('quick'), 0).thread, 'worker-1')
})

test('a task can be kept from the main thread, or on it', async () => {
  await using service = await startService({ tasksDir, mainBudgetMs: 20 })
  const ask = async (name: string) => (await readRun(await service.post('/run-tasks', { tasks: [{ name }] }))).result
  assert.is(await ask('never-main'), 'pool')
  assert.is(await ask('always-main'), 'main')
  assert.is(await ask('always-main'), 'main')
})

test.run()
