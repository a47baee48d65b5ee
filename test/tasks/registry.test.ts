/** The registry turns each module of a directory into a task that is named by its file. */
import { spawnSync } from 'node:child_process'
import { symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkInput } from '../../src/tasks/task-module.ts'
import { loadRegistry, type Registry } from '../../src/tasks/registry.ts'
import { startService } from '../harness/service.ts'
import { readRun } from '../harness/run.ts'
import { taskDirectory } from './task-directory.ts'

const minimal = 'export default { run: () => null }'
const namesOf = (registry: Registry) => registry.all().map(({ name }) => name)

test('loads modules sorted by name', async () => {
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

test('fills in defaults', async () => {
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

test('skips files that are not tasks by the rule, and says why', async () => {
  const mustNotLoad = 'throw new Error("must not be loaded")'
  await using directory = await taskDirectory({
    'task.js': minimal,
    'task.d.ts': 'declare const task: object\nexport default task',
    'task.js.map': '{}',
    'task.test.ts': mustNotLoad,
    'task.spec.mjs': mustNotLoad,
    'view.tsx': mustNotLoad,
    '_shared.ts': mustNotLoad,
    '.hidden.ts': mustNotLoad,
    'lib/other.ts': mustNotLoad,
    'folder.ts/readme.txt': 'a directory with the ending of a module',
  })
  await symlink('lib', join(directory.path, 'linked.js'))
  const registry = await loadRegistry(directory.path)
  assert.equal(namesOf(registry), ['task'])
  const otherKind = 'not a .ts, .mts, .cts, .js, .mjs or .cjs file'
  assert.equal(registry.skipped, [
    '_shared.ts (begins with "_")',
    'folder.ts (a directory)',
    'lib (a directory)',
    'linked.js (a directory)',
    `package.json (${otherKind})`,
    'task.spec.mjs (a test)',
    'task.test.ts (a test)',
    `view.tsx (${otherKind})`,
  ])
})

test('has no tasks in an empty directory', async () => {
  await using directory = await taskDirectory({})
  assert.equal((await loadRegistry(directory.path)).all(), [])
})

test('loads tasks with shared modules, through links and under any path', async () => {
  await using directory = await taskDirectory({
    'ta sks ü #%/plain.js': 'import { one } from "./_one.js"\nexport default { run: () => one }',
    'ta sks ü #%/_one.js': 'export { one } from "./lib/one.js"',
    'ta sks ü #%/lib/one.js': 'export const one = 1',
  })
  const inner = join(directory.path, 'ta sks ü #%')
  await symlink(join(inner, 'plain.js'), join(inner, 'alias.js'))
  await symlink(inner, join(directory.path, 'tasks'))
  for (const path of [inner, join(directory.path, 'tasks'), relative(process.cwd(), inner)]) {
    assert.equal(namesOf(await loadRegistry(path)), ['alias', 'plain'])
  }
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

const endings: Record<string, string> = { one: 'ts', two: 'js', three: 'mjs', four: 'mts', five: 'cjs', six: 'cts' }

test('runs a module of each ending on the main thread and on a thread of the pool', async () => {
  await using directory = await taskDirectory({
    'one.ts': 'export default { run: (input: string): string => `ts ${input}` }',
    'two.js': 'export default { run: (input) => `js ${input}` }',
    'three.mjs': 'export default { run: (input) => `mjs ${input}` }',
    'four.mts': 'export default { run: (input: string): string => `mts ${input}` }',
    'five.cjs': 'module.exports = { run: (input) => `cjs ${input}` }',
    'six.cts': 'module.exports = { run: (input: string): string => `cts ${input}` }',
  })
  await using service = await startService({ tasksDir: directory.path })
  for (const names of [
    ['one', 'two', 'three'],
    ['four', 'five', 'six'],
  ]) {
    const tasks = names.map((name) => ({ name, input: name }))
    for (const order of [tasks, tasks.toReversed()]) {
      const { results } = await readRun(await service.post('/run-tasks', { respond: 'all', tasks: order }))
      const expected = order.map(({ name }) => `${endings[name]} ${name}`)
      assert.equal(results, expected)
    }
  }
})

test('accepts the default export that compilers write for CommonJS', async () => {
  const marked = 'Object.defineProperty(exports, "__esModule", { value: true })\n'
  await using directory = await taskDirectory({
    'package.json': '{}',
    'typescript.js': `"use strict"\n${marked}exports.default = { run: () => null }`,
    'swc.cjs': `module.exports = { default: { run: () => null }, __esModule: true }`,
    'unmarked.cjs': 'exports.default = { run: () => null }',
  })
  assert.equal(namesOf(await loadRegistry(directory.path)), ['swc', 'typescript', 'unmarked'])
})

test('gives tasks outside of any project this forerunner, on the main thread and on those of the pool', async () => {
  const useIt = 'defineTask({ run: () => typeof ProblemError })'
  await using directory = await taskDirectory({
    'esm.ts': `import { ProblemError, defineTask } from 'forerunner'\nexport default ${useIt}`,
    'cjs.cjs': `const { ProblemError, defineTask } = require('forerunner')\nmodule.exports = ${useIt}`,
    'later.js': 'export default { run: async () => typeof (await import("forerunner/client")).createClient }',
  })
  await using service = await startService({ tasksDir: directory.path })
  const tasks = ['esm', 'cjs', 'later'].map((name) => ({ name }))
  for (const order of [tasks, tasks.toReversed()]) {
    const { results } = await readRun(await service.post('/run-tasks', { respond: 'all', tasks: order }))
    assert.equal(results, ['function', 'function', 'function'])
  }
})

test('prefers the forerunner of the project that the tasks belong to', async () => {
  await using directory = await taskDirectory({
    'node_modules/forerunner/package.json': '{ "name": "forerunner", "type": "module", "exports": "./own.js" }',
    'node_modules/forerunner/own.js': 'export const defineTask = (task) => ({ ...task, maxAttempts: 7 })',
    'task.js': 'import { defineTask } from "forerunner"\nexport default defineTask({ run() {} })',
  })
  // In a process without a loader of tests that finds it for all.
  const registry = JSON.stringify(new URL('../../dist/src/tasks/registry.js', import.meta.url))
  const script = `const { loadRegistry } = await import(${registry})
    process.stdout.write(String((await loadRegistry(process.argv[1])).get('task').policy.maxAttempts))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script, directory.path], {
    encoding: 'utf8',
  })
  assert.is(stdout, '7')
})

test('takes schemas of every Standard Schema library', async () => {
  const zod = (path: string) => `import { z } from '${import.meta.resolve(path)}'\n`
  await using directory = await taskDirectory({
    'zod3.js': `${zod('zod/v3')}export default { input: z.object({ a: z.number() }), run() {} }`,
    'mini.js': `${zod('zod/mini')}export default { input: z.object({ a: z.number() }), run() {} }`,
    // As arktype has it: a schema is a function.
    'callable.js': `const input = Object.assign(() => {}, {
      '~standard': { version: 1, vendor: 'x', validate: (value) => typeof value?.a === 'number' ? { value } : { issues: [{ message: 'no' }] } },
    })
    export default { input, run() {} }`,
  })
  const registry = await loadRegistry(directory.path)
  assert.equal(namesOf(registry), ['callable', 'mini', 'zod3'])
  for (const task of registry.all()) {
    assert.equal([(await checkInput(task, { a: 1 })).ok, (await checkInput(task, { a: '1' })).ok], [true, false])
  }
})

test.run()
