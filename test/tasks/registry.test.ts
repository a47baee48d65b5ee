/** The registry turns each module of a directory into a task that is named by its file. */
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadRegistry } from '../../src/tasks/registry.ts'
import { startService } from '../harness/service.ts'
import { readRun } from '../harness/run.ts'
import { taskDirectory } from './task-directory.ts'

const minimal = 'export default { run: () => null }'

test('loads .ts, .js and .mjs modules, sorted by name', async () => {
  await using directory = await taskDirectory({
    'zeta.ts': 'const text: string = "ts"\nexport default { run: (): string => text }',
    'alpha.js': minimal,
    'Mid_3-x.mjs': minimal,
  })
  const registry = await loadRegistry(directory.path)
  assert.equal(
    registry.all().map(({ name }) => name),
    ['Mid_3-x', 'alpha', 'zeta'],
  )
  assert.is(registry.get('zeta')?.url, pathToFileURL(`${directory.path}/zeta.ts`).href)
  for (const unknown of ['Zeta', 'zeta.ts', '', '__proto__', 'toString']) assert.is(registry.get(unknown), undefined)
})

test('fills in what a task does not say', async () => {
  await using directory = await taskDirectory({ 'plain.js': minimal })
  const task = (await loadRegistry(directory.path)).get('plain')
  const { kind, timeoutMs, maxAttempts, concurrency } = task?.policy ?? {}
  assert.equal(
    { kind, timeoutMs, maxAttempts, concurrency },
    { kind: 'cpu', timeoutMs: 60_000, maxAttempts: 3, concurrency: null },
  )
  assert.is(task?.input, undefined)
})

test('takes every number at its bounds', async () => {
  await using directory = await taskDirectory({
    'least.js': 'export default { kind: "io", timeoutMs: 1, maxAttempts: 1, concurrency: 1, run() {} }',
    'most.js': 'export default { kind: "cpu", timeoutMs: 86400000, maxAttempts: 100, run() {} }',
    'unsaid.js': 'export default { kind: undefined, timeoutMs: undefined, input: undefined, run() {} }',
  })
  const registry = await loadRegistry(directory.path)
  const least = registry.get('least')?.policy
  assert.equal([least?.kind, least?.timeoutMs, least?.maxAttempts, least?.concurrency], ['io', 1, 1, 1])
  const most = registry.get('most')?.policy
  assert.equal([most?.kind, most?.timeoutMs, most?.maxAttempts, most?.concurrency], ['cpu', 86_400_000, 100, null])
  assert.is(registry.get('unsaid')?.policy.timeoutMs, 60_000)
})

test('leaves everything alone that is not a task module', async () => {
  await using directory = await taskDirectory({
    'task.js': minimal,
    'task.d.ts': 'declare const task: object\nexport default task',
    'task.js.map': '{}',
    'README.md': '# Tasks',
    'data.json': '{}',
    '.hidden.ts': 'throw new Error("must not be loaded")',
    'inner/other.ts': 'throw new Error("must not be loaded")',
    'folder.ts/readme.txt': 'a directory with the ending of a module',
  })
  const registry = await loadRegistry(directory.path)
  assert.equal(
    registry.all().map(({ name }) => name),
    ['task'],
  )
})

test('has no tasks in an empty directory', async () => {
  await using directory = await taskDirectory({})
  assert.equal((await loadRegistry(directory.path)).all(), [])
})

test('calls run as a method of its definition', async () => {
  await using directory = await taskDirectory({
    'method.js': 'export default { kind: "io", run(input) { return [this.kind, input] } }',
  })
  await using service = await startService({ tasksDir: directory.path })
  const tasks = [1, 2].map((input) => ({ name: 'method', input }))
  const { results } = await readRun(await service.post('/run-tasks', { respond: 'all', tasks }))
  assert.equal(results, [
    ['io', 1],
    ['io', 2],
  ])
})

test('runs a module of each ending on the main thread and on a thread of the pool', async () => {
  await using directory = await taskDirectory({
    'one.ts': 'export default { run: (input: string): string => `ts ${input}` }',
    'two.js': 'export default { run: (input) => `js ${input}` }',
    'three.mjs': 'export default { run: (input) => `mjs ${input}` }',
  })
  await using service = await startService({ tasksDir: directory.path })
  const tasks = ['one', 'two', 'three'].map((name) => ({ name, input: name }))
  for (const order of [tasks, tasks.toReversed()]) {
    const { results } = await readRun(await service.post('/run-tasks', { respond: 'all', tasks: order }))
    assert.equal(new Set(results), new Set(['js two', 'mjs three', 'ts one']))
  }
})

test.run()
