/** An idempotency key outlives the process that has claimed it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child } from '../harness/child.ts'
import { jobAt, listRuns, readProblem, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { gateJob, openGate } from './gate.ts'

const body = { tasks: [gateJob] }
const [key, earlyKey] = [{ 'Idempotency-Key': 'order-42' }, { 'Idempotency-Key': 'order-43' }]

async function newest(child: Child, count: number): Promise<string> {
  const { id } = await until('the run is accepted', async () => {
    const runs = await listRuns(child)
    return runs.length === count && runs[0]
  })
  return id
}

test('after a crash the same request gets the answer of its run, whether its caller had an early 202 or no reply', async () => {
  await using home = await makeHome()
  const first = await home.start()
  const early = await first.post('/run-tasks', body, { ...earlyKey, Prefer: 'wait=1' })
  assert.is(early.status, 202)
  const { id: earlyId } = await readRun(early)
  const lost = first.post('/run-tasks', body, key).catch(() => 'no reply')
  const id = await newest(first, 2)
  await first.kill('SIGKILL')
  assert.is(await lost, 'no reply')

  const second = await home.start()
  // Nobody is answering the first request any more: the next one takes its place, and those after it do not.
  const again = second.post('/run-tasks', body, key)
  const busy = await until('the second is waiting', async () => {
    const response = await second.post('/run-tasks', body, { ...key, Prefer: 'wait=1' })
    return response.status === 202 && second.post('/run-tasks', body, key)
  })
  assert.is(busy.status, 409)
  assert.is((await readProblem(busy)).runId, id)
  // After an early reply there is one at once, as long as there is no answer.
  const earlyAgain = await second.post('/run-tasks', body, earlyKey)
  assert.equal([earlyAgain.status, (await readRun(earlyAgain)).id], [202, earlyId])

  openGate(home)
  const response = await again
  assert.equal([response.status, response.headers.get('Idempotency-Replayed')], [200, 'true'])
  const run = await readRun(response)
  assert.equal([run.id, run.result, jobAt(run, 0).attempt], [id, 'gate is open', 1])
  const answered = await until('there is an answer', async () => {
    const reply = await second.post('/run-tasks', body, earlyKey)
    return reply.status === 200 && reply
  })
  assert.is((await readRun(answered)).result, 'gate is open')
  const other = await second.post('/run-tasks', { tasks: [gateJob, gateJob] }, key)
  assert.is(other.status, 422)
})

test.run()
