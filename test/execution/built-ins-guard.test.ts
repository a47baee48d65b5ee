/** Built-ins that a first job changes are restored, and its task runs in the pool from then on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBuiltInsGuard } from '../../src/execution/main-thread/process-guard.ts'
import { createLog } from '../../src/log.ts'
import type { Task } from '../../src/tasks/task-module.ts'
import { makeHome, type Child } from '../harness/child.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { taskDirectory } from '../tasks/task-directory.ts'

const [one, another] = ['one', 'another']

const changes: readonly string[] = [
  'Object.prototype.foo = 1',
  'Date.now = () => 0',
  'performance.now = () => 0',
  'Promise.prototype.then = () => {}',
  'Array.prototype.map = Array.prototype.push = Array.prototype[Symbol.iterator] = () => []',
  'Map.prototype.get = Map.prototype.set = () => { throw new Error("broken") }',
  'Object.defineProperty(Map.prototype, "size", { get: () => 7 })',
  'Object.defineProperty(Object.prototype, "toJSON", { value: () => 1, configurable: true })',
  'JSON.stringify = JSON.parse = () => "{}"',
  'RegExp.prototype.exec = () => null; String.prototype.split = () => []',
  'Function.prototype.call = Function.prototype.apply = () => {}',
  'delete globalThis.setTimeout; delete globalThis.queueMicrotask',
  'globalThis.Buffer = class {}',
  'Object.setPrototypeOf(Array.prototype, null)',
]

async function isWell(child: Child): Promise<void> {
  const run = await readRun(
    await child.post('/run-tasks', {
      tasks: [
        { name: 'echo', input: { a: [1] } },
        { name: 'echo', input: 'b' },
      ],
    }),
  )
  assert.equal(run.result, { a: [1] })
  assert.is(jobAt(run, 0).thread, 'main')
  const ended = await until('the other job has ended', async () => {
    const current = await readRun(await child.get(`/runs/${run.id}`))
    return current.state !== 'running' && current
  })
  assert.is(ended.state, 'completed')
  assert.ok(Math.abs(Date.parse(ended.createdAt) - Date.now()) < 60_000)
  assert.is((await child.get('/runs?pageSize=5')).status, 200)
}

/** One task for each change: a task that has changed a built-in does not run on the main thread again. */
const task = (code: string, wait: string) =>
  `export default { maxAttempts: 1, run: async (isFirst) => { ${wait}; if (isFirst) { ${code} } return 'done' } }`
const files = Object.fromEntries(
  changes.flatMap((code, index) => [
    [`at-once-${index}.mjs`, task(code, '')],
    [`later-${index}.mjs`, task(code, 'await new Promise((resolve) => setTimeout(resolve, 1))')],
  ]),
)

test('a first job that changes built-ins harms neither the process nor other jobs', async () => {
  await using tasks = await taskDirectory({ 'echo.mjs': 'export default { run: (input) => input }', ...files })
  await using home = await makeHome({ TASKS_DIR: tasks.path, MAIN_BUDGET_MS: '5000' })
  const child = await home.start()
  for (const [index, code] of changes.entries()) {
    for (const name of [`at-once-${index}`, `later-${index}`]) {
      const response = await child.post('/run-tasks', { tasks: [{ name, input: true }] })
      assert.is(response.status, 200, code)
      const run = await readRun(response)
      assert.is(run.result, 'done', code)
      assert.is(jobAt(run, 0).thread, 'main', code)
      const line = await child.logged(`the task ${name} changed`)
      assert.equal(line['tasks'], [name])
      const next = await readRun(await child.post('/run-tasks', { tasks: [{ name, input: false }] }))
      assert.match(String(jobAt(next, 0).thread), /^worker-/)
    }
    await isWell(child)
  }
})

test('a change that cannot be undone is logged once', async () => {
  const freezes = 'export default { run: () => void Object.freeze(Object.prototype) }'
  await using tasks = await taskDirectory({
    'echo.mjs': 'export default { run: (input) => input }',
    'freezes.mjs': freezes,
  })
  await using home = await makeHome({ TASKS_DIR: tasks.path, MAIN_BUDGET_MS: '5000' })
  const child = await home.start()
  assert.is((await child.post('/run-tasks', { tasks: [{ name: 'freezes' }] })).status, 200)
  const line = await child.logged('the task freezes changed')
  assert.is(line.level, 'error')
  assert.is((line['left'] as string[]).length, 1)
  await isWell(child)
  assert.is(child.lines.filter(({ msg }) => msg.includes('for the whole process')).length, 1)
})

test('a change that the host makes while no first job runs stays', () => {
  const lines: unknown[] = []
  const log = Object.assign(createLog('silent'), { warn: (line: unknown) => lines.push(line) })
  const changers: string[] = []
  const { check } = createBuiltInsGuard({ onChangedBy: ({ name }) => changers.push(name), log })
  const tasks = [one, another].map((name) => ({ name }) as Task)
  const { random } = Math
  const ours = (): number => 0.5
  try {
    Math.random = ours
    check([])
    check(tasks.slice(1))
    assert.is(Math.random, ours)
    assert.equal(lines, [])
    Math.random = random
    check(tasks)
    assert.is(Math.random, ours, 'as it was before any of them')
    assert.equal(changers, [], 'either can have done it')
    assert.equal(lines, [{ tasks: [one, another], changed: 'Math.random' }])
  } finally {
    Math.random = random
  }
})

test.run()
