/** No step that was stored runs again, when the process is killed right after it, on whichever thread it ran. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, reach, type Child, type Home } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { stepsRunTwice } from './executions.ts'

const tenSteps = (name: string, killAfter: number) => ({
  name,
  input: { ms: 100, failures: 0, value: killAfter, killAfter },
  maxAttempts: 9,
})

/** Whether it is there still when all is done. */
async function survives(child: Child, id: string): Promise<boolean> {
  const finished = until('the run is final', async () => {
    const run = await readRun(await child.get(`/runs/${id}`))
    return run.state !== 'running'
  })
  return Promise.race([finished.catch(() => false), child.ended().then(() => false)])
}

/** A recovered job can kill the process before it is ready. */
async function startUntilReady(home: Home): Promise<Child> {
  for (;;) {
    const started = home.spawn()
    const ready = await Promise.race([started.logged('ready at '), started.ended().then(() => null)])
    if (ready !== null) return reach(started, String(ready['url']))
    assert.is((await started.ended()).signal, 'SIGKILL')
  }
}

test('a task of ten steps, killed after one on each kind of thread, runs no stored step twice', async () => {
  await using home = await makeHome({ THREADS: '1' })
  const tasks = [tenSteps('ten-steps', 3), tenSteps('ten-steps', 5), tenSteps('ten-steps-cpu', 7)]
  let child = await home.start()
  // The first job kills the process that is to answer.
  const refused = await child.post('/run-tasks', { tasks }).then(
    () => false,
    () => true,
  )
  assert.ok(refused)
  assert.is((await child.ended()).signal, 'SIGKILL')
  child = await startUntilReady(home)
  const { runs } = (await (await child.get('/runs')).json()) as { runs: { id: string }[] }
  const [{ id } = { id: '' }] = runs
  while (!(await survives(child, id))) child = await startUntilReady(home)
  const { state, jobs } = await readRun(await child.get(`/runs/${id}`))
  assert.is(state, 'completed')
  const names = Array.from({ length: 10 }, (_, index) => `step ${index + 1}`)
  for (const { steps } of jobs)
    assert.equal(
      steps?.map(({ name }) => name),
      names,
    )
  assert.equal(
    jobs.map(({ result }) => result),
    [{ value: 3 }, { value: 5 }, { value: 7 }],
  )
  assert.equal(
    stepsRunTwice(join(home.directory, 'steps'), () => false),
    [],
  )
})

test.run()
