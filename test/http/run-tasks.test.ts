import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt, readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'

test('answers with the first result while the others run', async () => {
  await using service = await startService()
  const response = await service.post('/run-tasks', {
    tasks: [
      { name: 'echo', input: { a: 1 } },
      { name: 'wait', input: { ms: 60_000 } },
    ],
    tags: ['x'],
  })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.equal(run.result, { a: 1 })
  assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
  assert.is(run.state, 'running')
  assert.is(jobAt(run, 0).thread, 'main')
})

test.run()
