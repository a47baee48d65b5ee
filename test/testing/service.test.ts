/** A service in a test: its jobs run in the test's own thread, and its clock moves when the test moves it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { BootError, defineTask, type RunEvent } from 'forerunner'
import { startTestForerunner } from 'forerunner/testing'
import { rejects } from '../harness/rejects.ts'
import { fixtureTasks } from '../harness/service.ts'

const hourMs = 3_600_000
const double = defineTask({ input: z.number(), run: (input) => input * 2 })
const waitsForever = defineTask({
  kind: 'io',
  run: (_input, { signal }) =>
    new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
})

/** Fails until its last attempt. */
function flaky(attempts: number) {
  const seen: number[] = []
  const task = defineTask({
    maxAttempts: attempts,
    run(_input, { attempt }) {
      seen.push(attempt)
      if (attempt < attempts) throw new Error('not yet')
      return 'at last'
    },
  })
  return { task, seen }
}

test('returns the first result, and runs the rest under the control of the test', async () => {
  const mails: string[] = []
  const mail = defineTask({ input: z.string(), run: (to) => void mails.push(to) })
  await using forerunner = await startTestForerunner({ tasks: { double, mail } })
  const run = await forerunner.run([double(21), mail('ada@example.com')])
  const result: number | undefined = run.result
  assert.is(result, 42)
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
  assert.equal(mails, ['ada@example.com'])
  await rejects(forerunner.runTasks({ tasks: [{ name: 'double', input: 'x' as never }] }), 'validation-error')
  await rejects(forerunner.runTasks({ tasks: [{ name: 'nope' as 'mail', input: '' }] }), 'unknown-task')
})

test('retries come when the clock is moved, and not before', async () => {
  const { task, seen } = flaky(4)
  await using forerunner = await startTestForerunner({ tasks: { task }, startAt: new Date('2030-01-01') })
  const { id } = await forerunner.enqueue({ tasks: [{ name: 'task', maxAttempts: 4 }] })
  const retrying = await forerunner.waitFor(id, 'retrying', { jobIndex: 0 })
  assert.is(retrying.state, 'running')
  assert.equal(seen, [1])
  await forerunner.advance(hourMs)
  assert.equal(seen, [1, 2, 3, 4])
  const done = await forerunner.waitFor(id, 'completed')
  assert.is(done.result, 'at last')
  assert.is(done.jobs[0]?.failures?.length, 3)
  assert.is(forerunner.now(), Date.parse('2030-01-01T01:00:00Z'))
  assert.ok(Date.parse(done.finishedAt ?? '') < Date.parse('2030-01-01T00:00:08Z'), 'it came when it was due')
})

test('jobs beyond a rate take their turns when the clock is moved, and paused ones when they are resumed', async () => {
  const startedAt: number[] = []
  const rated = defineTask({
    kind: 'io',
    rate: { limit: 1, perMs: hourMs },
    run: () => void startedAt.push(forerunner.now()),
  })
  await using forerunner = await startTestForerunner({ tasks: { rated, double } })
  const tasks = [1, 2, 3].map(() => ({ name: 'rated' as const, input: null }))
  await forerunner.enqueue({ tasks })
  await forerunner.advance(hourMs * 1.1)
  assert.is(startedAt.length, 2)
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
  const gaps = startedAt.slice(1).map((at, index) => at - (startedAt[index] ?? 0))
  assert.ok(
    gaps.every((gap) => gap >= hourMs && gap < hourMs * 1.01),
    gaps.join(' '),
  )

  await forerunner.pauseTask('double')
  const { id } = await forerunner.enqueue({ tasks: [{ name: 'double', input: 1 }], respond: 'none' })
  await forerunner.advance(hourMs)
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
  assert.is((await forerunner.getRun(id)).state, 'running')
  await forerunner.resumeTask('double')
  assert.is((await forerunner.waitFor(id, 'completed')).state, 'completed')
})

test('drain() passes over delays and waits, however long', async () => {
  const { task, seen } = flaky(3)
  await using forerunner = await startTestForerunner({ tasks: { task, double } })
  await forerunner.enqueue({
    tasks: [
      { name: 'double', input: 1 },
      { name: 'task', delayMs: 365 * 24 * hourMs },
    ],
  })
  const startedAt = forerunner.now()
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
  assert.equal(seen, [1, 2, 3])
  assert.ok(forerunner.now() - startedAt >= 365 * 24 * hourMs)
})

test('a delayed job starts at its time', async () => {
  await using forerunner = await startTestForerunner({ tasks: { double } })
  const tasks = [double(1), double(2, { delayMs: hourMs })]
  const { id } = await forerunner.runTasks({ tasks })
  await forerunner.advance(hourMs - 1)
  assert.is((await forerunner.getJob(id, 1)).state, 'queued')
  await forerunner.advance(1)
  assert.is((await forerunner.getJob(id, 1)).state, 'completed')
})

test('a time limit ends when the clock has passed it', async () => {
  await using forerunner = await startTestForerunner({ tasks: { waitsForever } })
  const { id } = await forerunner.enqueue([waitsForever(undefined, { timeoutMs: hourMs })])
  await forerunner.waitFor(id, 'running', { jobIndex: 0 })
  await forerunner.advance(hourMs - 1)
  assert.is((await forerunner.getRun(id)).state, 'running')
  await forerunner.advance(1)
  const run = await forerunner.waitFor(id, 'failed')
  assert.is(run.jobs[0]?.error?.code, 'timeout')
})

test('a failed wait names what it waited for', async () => {
  await using forerunner = await startTestForerunner({ tasks: { waitsForever, double } })
  const { id } = await forerunner.enqueue([waitsForever()])
  const { message } = await rejects(forerunner.drain({ limitMs: 50 }), 'Error')
  assert.match(message, `waitsForever (job 0 of the run ${id}) is running`)
  assert.match((await rejects(forerunner.waitFor(id, 'completed', { limitMs: 50 }), 'Error')).message, 'waitsForever')
  await forerunner.cancel(id)
  const ended = await rejects(forerunner.waitFor({ id }, 'completed'), 'Error')
  assert.match(ended.message, 'is cancelled, and will not be completed: cancelled on request')
  await rejects(forerunner.waitFor(id, 'failed', { jobIndex: 1 }), 'RangeError')
})

test('has the events and the problems of a service, and tasks of a directory', async () => {
  await using forerunner = await startTestForerunner({ tasksDir: fixtureTasks })
  const events: RunEvent[] = []
  forerunner.events.on('failed', (event) => events.push(event))
  const error = await rejects(
    forerunner.runTasks({ tasks: [{ name: 'fail', input: { status: 404 } }] }),
    'first-task-failed',
  )
  assert.is(Reflect.get(error, 'status'), 404)
  await forerunner.drain()
  assert.is(events.length, 1)
})

test('takes tasks by the addresses of their modules, whose names it does not know', async () => {
  const shout = new URL('../fixtures/called-tasks/shout.ts', import.meta.url)
  await using forerunner = await startTestForerunner({ tasks: { shout } })
  assert.is((await forerunner.runTasks({ tasks: [{ name: 'shout', input: 'a' }] })).result, 'A 0')
})

test('refuses modules that are not tasks, by name', async () => {
  const tasks = { good: double, bad: { run: 1 } as never }
  const error = await rejects(startTestForerunner({ tasks }), 'BootError')
  assert.instance(error, BootError)
  assert.match(error.message, 'the task "bad": run must be a function')
  const named = await rejects(startTestForerunner({ tasks: { 'a b': double } }), 'BootError')
  assert.match(named.message, '"a b" is no name')
  const address = new URL('../fixtures/called-tasks/shout.ts', import.meta.url)
  await rejects(startTestForerunner({ tasks: { ['__proto__']: address } }), 'BootError')
  await rejects(startTestForerunner({ tasks: {}, tasksDir: fixtureTasks }), 'BootError')
  await rejects(startTestForerunner({ tasks: {}, startAt: new Date('never') }), 'RangeError')
})

test('moves no clock back, or to no time', async () => {
  await using forerunner = await startTestForerunner({ tasks: { double }, startAt: 1_000_000 })
  for (const wrong of [-1, Number.NaN, Number.POSITIVE_INFINITY]) await rejects(forerunner.advance(wrong), 'RangeError')
  await forerunner.advance(0.5)
  assert.is(forerunner.now(), 1_000_000)
})

test('waits even if the test has removed all listeners, and for tasks that alternate', async () => {
  const one = defineTask({ concurrency: 1, run: () => new Promise<void>((resolve) => setImmediate(resolve)) })
  await using forerunner = await startTestForerunner({ tasks: { one } })
  forerunner.events.removeAllListeners()
  await forerunner.enqueue([one(), one(), one(), one()])
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
})

test.run()
