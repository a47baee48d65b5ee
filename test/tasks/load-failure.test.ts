/** What a task module fails with while it is loaded is said with its place: file, line and column. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadRegistry } from '../../src/tasks/registry.ts'
import { rejects } from '../harness/rejects.ts'
import { taskDirectory } from './task-directory.ts'

// Columns where a compiler of the loader has its own opinion are left open.
const failures: Record<string, [files: Record<string, string>, reason: string, place: string]> = {
  'a syntax error': [{ 'task.js': 'const a = 1\nexport default { run() { return a +* 1 } }\n' }, "'*'", 'task.js:2:36'],
  'a syntax error of CommonJS': [{ 'task.cjs': '\n\nmodule.exports = ;\n' }, "';'", 'task.cjs:3:18'],
  'a syntax error of TypeScript': [{ 'task.ts': 'const a: number = 1\nexport default {\n' }, 'task.ts', 'task.ts:'],
  'a syntax error in what a task imports': [
    { 'task.js': 'import "./lib/a.js"\nexport default { run() {} }', 'lib/a.js': 'export const a = 1\n let let = 1\n' },
    'SyntaxError',
    'lib/a.js:2:6',
  ],
  'an error that is thrown': [{ 'task.js': '\n  throw new Error("no licence")\n' }, 'no licence', 'task.js:2:9'],
  'an error that a function throws': [
    { 'task.mjs': 'export default {}\nfunction check() {\n  throw new RangeError("no licence")\n}\ncheck()\n' },
    'RangeError: no licence',
    'task.mjs:3:9',
  ],
  'an error that a helper throws': [
    { 'task.js': 'import "./_check.js"\nexport default { run() {} }', '_check.js': '\nundefined.x\n' },
    'TypeError',
    '_check.js:2:11',
  ],
  'an error of TypeScript': [
    { 'task.ts': 'interface A {}\n\n throw new Error("no licence")' },
    'no licence',
    'task.ts:3:8',
  ],
  'an error of CommonJS': [{ 'task.cjs': '\n require("./nowhere")' }, './nowhere', 'task.cjs:2:10'],
  'a rejection': [{ 'task.js': '\n\nawait Promise.reject(new Error("late"))' }, 'late', 'task.js:3:22'],
  'a name that is not defined': [
    { 'task.js': 'export default defineTask({})' },
    'defineTask is not defined',
    'task.js:1:',
  ],
  'an import of a module whose file cannot be read any more': [
    { 'task.cjs': 'require("fs").unlinkSync(__filename)\n require("./nowhere")' },
    './nowhere',
    'task.cjs: cannot be loaded',
  ],
  'a file that is not there': [
    { 'task.js': 'import a from "node:fs"\nimport "./nowhere.js"' },
    'nowhere.js',
    'task.js:2:8',
  ],
  'a package that is not there': [{ 'task.js': "import no from 'no-such-package'" }, 'no-such-package', 'task.js:1:16'],
  'a name that is not exported': [{ 'task.js': '\nimport { nope } from "node:fs"' }, 'nope', 'task.js:2:10'],
  'an ES module that is taken for CommonJS': [
    { 'package.json': '{"type":"commonjs"}', 'task.js': 'import "node:fs"\nexport default { run() {} }' },
    'a name that ends with .mts or .mjs',
    'task.js:1:1',
  ],
  'a path with blanks and braces': [{ 'a (b) ü/task.js': '\n throw new Error("x")' }, 'x', 'a (b) ü/task.js:2:8'],
}
for (const [what, [files, reason, place]] of Object.entries(failures)) {
  test(`names the place of ${what}`, async () => {
    await using directory = await taskDirectory(files)
    const inner = Object.keys(files)[0]?.split('/').slice(0, -1).join('/') ?? ''
    const { message } = await rejects(loadRegistry(`${directory.path}/${inner}`), 'BootError')
    assert.ok(message.includes(`${directory.path}/`), message)
    assert.ok(message.includes(reason), message)
    assert.ok(message.includes(`${directory.path}/${place}`), message)
    assert.not.match(message, '\n')
  })
}

test.run()
