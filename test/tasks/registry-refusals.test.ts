/** A bad task module stops the start with an error that names its file. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadRegistry } from '../../src/tasks/registry.ts'
import { rejects } from '../harness/rejects.ts'
import { taskDirectory } from './task-directory.ts'

const good = 'export default { run: () => null }'

/** Fails unless the directory is refused with an error that has each of the words in it. */
async function refused(files: Record<string, string>, ...words: string[]): Promise<void> {
  await using directory = await taskDirectory({ 'fine.js': good, ...files })
  const { message } = await rejects(loadRegistry(directory.path), 'BootError')
  for (const word of words) assert.ok(message.includes(word), `"${word}" is not in: ${message}`)
}

const bad: Record<string, [source: string, ...words: string[]]> = {
  'throws when it is loaded': ['throw new Error("no licence")', 'no licence'],
  'throws something that is no error': ['throw "no licence"', 'no licence'],
  'rejects while it is loaded': ['await Promise.reject(new Error("no licence"))', 'no licence'],
  'exits while it is loaded': ['process.exit(0)', 'process.exit(0)'],
  'goes around process.exit while it is loaded': ['process.reallyExit(0)', 'process.reallyExit(0)'],
  'aborts while it is loaded': ['process.abort()', 'process.abort()'],
  'signals its own process while it is loaded': ['process.kill(process.pid, "SIGTERM")', 'process.kill('],
  'is no JavaScript': ['export default {', 'task.js'],
  'imports what there is not': ['import "./nowhere.js"\nexport default { run() {} }', 'nowhere.js'],
  'has no default export': ['export const task = { run() {} }', 'default'],
  'exports undefined': ['export default undefined', 'default'],
  'exports null': ['export default null', 'default'],
  'exports a function': ['export default function run() {}', 'default'],
  'exports an array': ['export default [() => null]', 'task.js'],
  'has no run': ['export default { kind: "io" }', 'run'],
  'has a run that is no function': ['export default { run: "now" }', 'run'],
  'has a kind that there is not': ['export default { kind: "gpu", run() {} }', 'kind'],
  'has a kind that is null': ['export default { kind: null, run() {} }', 'kind'],
  'has a member that there is not': ['export default { retries: 3, run() {} }', 'retries'],
  'has an input that is no Standard Schema': ['export default { input: { type: "object" }, run() {} }', 'input'],
  'has an isolation that there is not': [
    'export default { isolation: "vm", run() {} }',
    'isolation',
    'thread, process',
  ],
  'shares its process as kind io': ['export default { isolation: "process", kind: "io", run() {} }', 'kind cpu'],
  'has its process on the main thread': ['export default { isolation: "process", main: "auto", run() {} }', "'never'"],
  'has an input that is null': ['export default { input: null, run() {} }', 'input'],
  'has a Standard Schema without validate': ['export default { input: { "~standard": {} }, run() {} }', 'input'],
}
const rates = {
  'no object': '"10/s"',
  null: 'null',
  'without a limit': '{ perMs: 1000 }',
  'with another member': '{ limit: 1, perMs: 1000, burst: 2 }',
  'with a limit of 0': '{ limit: 0, perMs: 1000 }',
  'with half a start': '{ limit: 0.5, perMs: 1000 }',
  'with a window of a text': '{ limit: 1, perMs: "1000" }',
  'with a window above a year': '{ limit: 1, perMs: 31_536_000_001 }',
  'of a task that is always on the main thread': '{ limit: 1, perMs: 1000 }, main: "always"',
}
test('refuses an invalid rate', async () => {
  for (const rate of Object.values(rates)) {
    await refused({ 'task.js': `export default { rate: ${rate}, run() {} }` }, 'task.js', 'rate')
  }
})

for (const [what, [source, ...words]] of Object.entries(bad)) {
  test(`refuses a module that ${what}`, () => refused({ 'task.js': source }, 'task.js', ...words))
}

const numbers = {
  timeoutMs: ['0', '86_400_001', '1.5', '-1', '"60000"', 'null', 'NaN', 'Infinity', '1n'],
  maxAttempts: ['0', '101', '2.5', '-1', '"3"', 'null', 'true'],
  concurrency: ['0', '-1', '1.5', '"2"', 'null', 'Infinity'],
}
for (const [member, values] of Object.entries(numbers)) {
  test(`refuses a ${member} that is no whole number within its bounds`, async () => {
    for (const value of values) {
      await refused({ 'task.js': `export default { ${member}: ${value}, run() {} }` }, 'task.js', member)
    }
  })
}

test('refuses a name that is not made of letters, digits, "-" and "_"', async () => {
  for (const name of ['two words', 'täsk', '-task', 'a.b', 'a+b', 'x'.repeat(65)]) {
    await refused({ [`${name}.js`]: good }, `${name}.js`)
  }
  await using directory = await taskDirectory({ [`${'x'.repeat(64)}.js`]: good })
  assert.is((await loadRegistry(directory.path)).all().length, 1)
})

test('refuses two modules of one name, and names both', async () => {
  await refused({ 'same.ts': good, 'same.js': good }, 'same.ts', 'same.js')
  await refused({ 'same.mjs': good, 'same.js': good }, 'same.mjs', 'same.js')
  await refused({ 'same.cts': good, 'same.cjs': 'module.exports = { run() {} }' }, 'same.cts', 'same.cjs')
})

test('refuses a directory that cannot be read, and names it', async () => {
  await using directory = await taskDirectory({ 'fine.js': good })
  for (const path of [`${directory.path}/nowhere`, `${directory.path}/fine.js`]) {
    const { message } = await rejects(loadRegistry(path), 'BootError')
    assert.ok(message.includes(path), message)
  }
})

test.run()
