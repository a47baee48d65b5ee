/** A task cannot change or end the process that it shares with the service, wherever it runs. */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { barredWays } from '../fixtures/main-tasks/reaches-out.ts'
import { makeHome, type Child } from '../harness/child.ts'
import { jobAt, readProblem, readRun } from '../harness/run.ts'

const mainTasks = fileURLToPath(new URL('../fixtures/main-tasks/', import.meta.url))

const reachesOut = (input: object) => ({ name: 'reaches-out', input })
const home = () => makeHome({ TASKS_DIR: mainTasks, MAIN_BUDGET_MS: '5000' })

async function errorOf(child: Child, runId: unknown, index: number): Promise<object> {
  const run = await readRun(await child.get(`/runs/${String(runId)}`))
  return Object(jobAt(run, index).error)
}

test('calls that affect the whole process are refused on the main thread and in the pool', async () => {
  await using directory = await home()
  const child = await directory.start()
  for (const way of barredWays) {
    for (const isLate of [false, true]) {
      const response = await child.post('/run-tasks', { tasks: [reachesOut({ way, isLate })] })
      const { runId } = await readProblem(response)
      const error = await errorOf(child, runId, 0)
      assert.is(Reflect.get(error, 'code'), 'task_error', way)
      assert.match(String(Reflect.get(error, 'message')), 'is not supported in a task', way)
    }
    const tasks = [{ name: 'echo' }, reachesOut({ way })]
    const { runId } = await readProblem(await child.post('/run-tasks', { tasks, respond: 'all' }))
    assert.match(String(Reflect.get(await errorOf(child, runId, 1), 'message')), 'is not supported in a task', way)
  }
  assert.is((await child.get('/readyz')).status, 200)
  assert.equal(await child.kill('SIGTERM'), { code: 0, signal: null })
  assert.is(child.lines.at(-1)?.msg, 'stopped')
})

test('changes of a first job to the process are undone when it ends', async () => {
  await using directory = await home()
  const child = await directory.start()
  const ask = async (input: object) =>
    (await readRun(await child.post('/run-tasks', { tasks: [reachesOut(input)] }))).result
  const before = await ask({})
  const during = await ask({ way: 'trace' })
  assert.is(Reflect.get(Object(during), 'added'), 'yes')
  assert.is.not(Reflect.get(Object(during), 'hasPath'), true)
  assert.equal(await ask({}), before)
  assert.equal(await child.kill('SIGTERM'), { code: 0, signal: null })
})

test('a request for the debugger is not heeded', async () => {
  await using directory = await home()
  const child = await directory.start()
  child.signal('SIGUSR1')
  await child.logged('SIGUSR1 is not heeded')
  assert.not.match(child.errors(), /[Dd]ebugger/)
})

test.run()
