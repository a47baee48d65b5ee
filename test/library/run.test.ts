/** Runs without HTTP; that all calls are those of the client, `test/client/calls.test.ts` shows. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ProblemError } from 'forerunner'
import { rejects } from '../harness/rejects.ts'
import { jobAt } from '../harness/run.ts'
import { collect } from '../client/collect.ts'
import { create, recipe, serve, share } from './instance.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

test('run() resolves to the run when its answer is decided', async () => {
  await using instance = await share()
  const { forerunner } = instance
  const run = await forerunner.run({ tasks: [{ name: 'echo', input: { a: 1 } }, waiting], tags: ['direct'] })
  assert.equal(run.result, { a: 1 })
  assert.equal(run.tags, ['direct'])
  assert.is(run.state, 'running')
  assert.is(jobAt(run, 0).thread, 'main')
  const unanswered = await forerunner.run({ tasks: [waiting], respond: 'none' })
  assert.is(unanswered.answer, null)
})

test('run() without anything is the default run', async () => {
  await using instance = create({ tasksDir: recipe })
  const { forerunner } = instance
  await forerunner.start()
  for (const input of [undefined, {}]) assert.is((await forerunner.run(input)).result, 'First result')
})

test('run() rejects with the code of the problem that HTTP would answer with', async () => {
  await using instance = create({ maxTasksPerRun: 2, maxBacklog: 2 })
  const { forerunner } = instance
  await forerunner.start()
  const echo = { name: 'echo' }
  await rejects(forerunner.run({ tasks: [{ name: 'nope' }] }), 'unknown-task')
  await rejects(forerunner.run({ tasks: [] }), 'validation-error')
  await rejects(forerunner.run(JSON.parse('{"retries":1}')), 'validation-error')
  await rejects(forerunner.run({ tasks: [{ name: 'sum', input: 1 }] }), 'validation-error')
  await rejects(forerunner.run({ tasks: [echo, echo, echo] }), 'too-many-tasks')
  await rejects(forerunner.run({ tasks: [{ name: 'fail' }, echo], respond: 'all' }), 'tasks-failed')
  await rejects(forerunner.run({ tasks: [{ name: 'fail' }, { name: 'fail' }], respond: 'any' }), 'all-tasks-failed')
  const error = await rejects(
    forerunner.run({ tasks: [{ name: 'fail', input: { status: 404 } }] }),
    'first-task-failed',
  )
  assert.instance(error, ProblemError)
  if (!(error instanceof ProblemError)) return
  assert.is(error.status, 404)
  assert.type(error.runId, 'string')
  assert.is(error.problem.error?.message, 'failed on purpose')
  await forerunner.run({ tasks: [waiting, waiting], respond: 'none' })
  await rejects(forerunner.run({ tasks: [echo] }), 'overloaded')
})

test('needs no key, and takes bodies of any size', async () => {
  await using instance = create({ apiKeys: ['secret'], maxBodyBytes: 10 })
  const { forerunner } = instance
  await forerunner.start()
  const input = 'x'.repeat(300_000)
  assert.is((await forerunner.runTasks({ tasks: [{ name: 'echo', input }] })).result, input)
  await using app = await serve(forerunner.middleware())
  assert.is((await fetch(`${app.url}/stats`)).status, 401)
})

test('a stopping service refuses at once, and ends watches', async () => {
  await using instance = create()
  const { forerunner } = instance
  await forerunner.start()
  const { id } = await forerunner.enqueue({ tasks: [waiting] })
  const watching = forerunner.watch(id)
  await watching.next()
  const ending = rejects(collect(watching), 'shutting-down')
  const waitingFor = rejects(forerunner.waitForRun(id), 'shutting-down')
  await forerunner.stop()
  const startedAt = performance.now()
  await Promise.all([ending, waitingFor])
  await rejects(forerunner.runTasks({ tasks: [waiting] }), 'shutting-down')
  await rejects(forerunner.enqueue({ tasks: [waiting] }), 'shutting-down')
  await rejects(forerunner.getRun(id), 'store-unavailable')
  assert.ok(performance.now() - startedAt < 1_500, 'what is refused here is not tried again')
})

test('serves a slow reader', async () => {
  await using instance = await share()
  const { forerunner } = instance
  const tasks = Array.from({ length: 3 }, () => ({ name: 'echo', input: 'x'.repeat(500_000) }))
  const run = await forerunner.runTasks({ tasks, respond: 'all' })
  assert.is(JSON.stringify(run.results).length, 3 * 500_003 + 1)
})

test.run()
