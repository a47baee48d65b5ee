/** What a first job does to the process that it shares with every request: nothing that lasts. */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome } from '../harness/child.ts'
import { jobAt, readProblem, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'

const mainTasks = fileURLToPath(new URL('../fixtures/main-tasks/', import.meta.url))

const failures = [
  ['exit', 'called process.exit(4) on the main thread', 4],
  ['exit later', 'called process.exit(4) on the main thread', 4],
  ['reject', 'an error that nobody caught: nobody listens', undefined],
  ['throw in a timer', 'an error that nobody caught: from a timer', undefined],
  ['throw when a worker ends', 'an error that nobody caught: from a worker', undefined],
  ['leave a worker without memory', 'an error that nobody caught: Worker terminated', undefined],
  ['reject in WebAssembly', 'an error that nobody caught: WebAssembly.compile()', undefined],
  ['throw in a finalizer', 'an error that nobody caught: from a finalizer of nothing', undefined],
] as const

test('process.exit, rejections and stray errors of a first job fail that job and nothing else', async () => {
  await using home = await makeHome({ TASKS_DIR: mainTasks, MAIN_BUDGET_MS: '5000' })
  const child = await home.start()
  for (const [way, message, exitCode] of failures) {
    const response = await child.post('/run-tasks', { tasks: [{ name: 'runaway', input: way }] })
    assert.is(response.status, 500, way)
    const problem = await readProblem(response)
    assert.is(problem.type, '/problems/first-task-failed')
    const run = await readRun(await child.get(`/runs/${problem.runId}`))
    const error: unknown = jobAt(run, 0).error
    assert.is(Reflect.get(Object(error), 'code'), 'crashed')
    assert.ok(String(Reflect.get(Object(error), 'message')).startsWith(message), way)
    assert.is(Reflect.get(Object(error), 'exitCode'), exitCode)
  }
  const after = await child.post('/run-tasks', { tasks: [{ name: 'echo', input: 'alive' }] })
  assert.is((await readRun(after)).result, 'alive')
})

test('an error that comes after a first job has ended is logged with its ids and ends nothing', async () => {
  await using home = await makeHome({ TASKS_DIR: mainTasks, MAIN_BUDGET_MS: '5000' })
  const child = await home.start()
  const run = await readRun(
    await child.post('/run-tasks', { tasks: [{ name: 'runaway', input: 'throw after the end' }] }),
  )
  assert.is(run.result, 'ended')
  const line = await child.logged('an error of a first job that had ended')
  assert.is(line['runId'], run.id)
  assert.is((await child.get('/livez')).status, 200)
})

test('a blocked main thread ends the process, the log names the task, and the next start runs it in the pool', async () => {
  await using home = await makeHome({ TASKS_DIR: mainTasks, MAIN_STALL_MS: '500' })
  const child = await home.start()
  // It gets no reply: the process is ended under it.
  const asked = child
    .post('/run-tasks', { tasks: [{ name: 'runaway', input: 'loop after an await' }] })
    .catch(() => 'cut off')
  const line = await child.logged('the main thread has not turned')
  assert.match(String(line['running']), /^runaway \(run /)
  assert.is((await child.ended()).signal, 'SIGKILL')
  assert.is(await asked, 'cut off')

  const next = await home.start()
  const id = /run (?<id>[0-9a-f-]+)/.exec(String(line['running']))?.groups?.['id']
  const run = await until('the job is done', async () => {
    const current = await readRun(await next.get(`/runs/${id}`))
    return current.state !== 'running' && current
  })
  assert.is(run.state, 'completed')
  assert.is(run.result, 'pool true')
  assert.is(jobAt(run, 0).attempt, 1)
})

test('a main thread that is blocked by leftovers of a first job ends the process too', async () => {
  await using home = await makeHome({ TASKS_DIR: mainTasks, MAIN_STALL_MS: '500' })
  const child = await home.start()
  // Its answer may or may not get out before the thread stands still.
  void child.post('/run-tasks', { tasks: [{ name: 'runaway', input: 'loop after the end' }] }).catch(() => {})
  const line = await child.logged('the main thread has not turned')
  assert.match(String(line['running']), /^runaway \(run /)
  assert.is((await child.ended()).signal, 'SIGKILL')
})

test('a main thread that is blocked by an abandoned first job ends the process too, by name', async () => {
  await using home = await makeHome({ TASKS_DIR: mainTasks, MAIN_STALL_MS: '500', CANCEL_GRACE_MS: '50' })
  const child = await home.start()
  const task = { name: 'runaway', input: 'loop long after the signal', timeoutMs: 50 }
  const problem = await readProblem(await child.post('/run-tasks', { tasks: [task] }))
  assert.is(Reflect.get(Object(problem.error), 'code'), 'timeout')
  const line = await child.logged('the main thread has not turned')
  assert.is(line['running'], `runaway (run ${problem.runId})`)
  assert.is((await child.ended()).signal, 'SIGKILL')
})

test.run()
