/** Runs without HTTP: what POST /run-tasks does, as a function. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/index.ts'
import { rejects } from '../harness/rejects.ts'
import { jobAt } from '../harness/run.ts'
import { create, recipe } from './instance.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

test('run() resolves to the run when its answer is decided', async () => {
  await using instance = create()
  const { forerunner } = instance
  await forerunner.start()
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
  assert.instance(error, AppError)
  if (!(error instanceof AppError)) return
  assert.is(error.status, 404)
  assert.type(error.members.runId, 'string')
  await forerunner.run({ tasks: [waiting, waiting], respond: 'none' })
  await rejects(forerunner.run({ tasks: [echo] }), 'overloaded')
})

test.run()
