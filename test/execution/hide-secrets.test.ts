/** Secrets of a task do not leave it in errors, log lines or progress. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Progress } from '../../src/domain/claim.ts'
import type { TaskContext } from '../../src/domain/task.ts'
import { createRunningTask, currentTask, runTask } from '../../src/execution/running-task.ts'
import type { TaskLine } from '../../src/execution/task-context.ts'
import { checkTask } from '../../src/tasks/task-module.ts'

const job = { runId: '01a20726-511c-723c-9ce9-a7c9e9b12f72', jobIndex: 0, attempt: 1, task: 'pay' }
const input = { pin: '$& 1', card: { number: 4_242_424_242, holder: 'Ann' }, to: 'bob', x: 'abc' }

/** Runs a task once, on this thread. */
async function attempt(secret: readonly string[], run: (given: typeof input, context: TaskContext) => unknown) {
  const lines: TaskLine[] = []
  const reports: Progress[] = []
  const running = createRunningTask(job, {
    called: 'a job',
    attempt: { outcome: new Promise(() => {}), isOver: () => false, breakOff() {} },
    signal: () => new AbortController().signal,
    report: (progress) => reports.push(progress),
    steps() {
      throw new Error('no step was expected')
    },
    write: (line) => lines.push(line),
    onExit() {},
  })
  const task = checkTask('pay', '', { secret, run }, 'the task')
  const outcome = await currentTask.run(running, runTask, task, JSON.stringify(input), running.context)
  return { lines, reports, outcome }
}

test('texts and numbers of secret members are masked wherever the task repeats them', async () => {
  const { lines, reports, outcome } = await attempt(
    ['input.pin', 'input.card', 'input.x'],
    (given, { log, progress }) => {
      log.info(`paid with ${given.pin}`, { given, at: [given.card.number] })
      progress(0.5, `card ${given.card.number}`)
      throw Object.assign(new Error(`no ${given.pin}`, { cause: new Error(given.card.holder) }), { pin: given.pin })
    },
  )
  const [line] = lines
  assert.is(line?.message, 'paid with •••')
  assert.equal(line?.fields.fields, {
    // Three letters stand in too many texts by chance, and are no secret by themselves.
    given: { pin: '•••', card: { number: '•••', holder: 'Ann' }, to: 'bob', x: 'abc' },
    at: ['•••'],
  })
  assert.equal(line?.fields.runId, job.runId)
  assert.equal(reports, [{ fraction: 0.5, message: 'card •••' }])
  assert.ok(!outcome.ok)
  const { stack = '', ...error } = outcome.ok ? { message: '' } : outcome.error
  assert.is(error.message, 'no •••')
  assert.not.match(stack, /\$& 1/)
  assert.match(stack, '•••')
})

test('a task without secrets keeps everything as it is', async () => {
  const { lines } = await attempt([], ({ pin }, { log }) => log.info(pin))
  assert.is(lines[0]?.message, input.pin)
})

test('an invalid path of a secret ends the start', () => {
  for (const secret of [
    'input',
    ['password'],
    ['input.'],
    ['input..a'],
    [7],
    Array.from({ length: 33 }, () => 'input'),
  ]) {
    assert.throws(() => checkTask('pay', '', { secret, run() {} }, 'the task'), /^the task: secret /)
  }
})

test.run()
