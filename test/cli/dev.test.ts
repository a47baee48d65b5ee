/** forerunner dev: starts the service again with each change of its tasks, and leaves with it. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../harness/until.ts'

const program = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))
const task = "export default { kind: 'io', run: () => 'done' }\n"

test('starts again with a new task, waits while one is wrong, and ends with its service', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const write = (name: string, content: string) => writeFile(join(directory.path, name), content)
  await write('one.js', task)
  await write('package.json', '{ "type": "module" }')
  const child = spawn(process.execPath, [program, 'dev'], {
    env: { PATH: process.env['PATH'], PORT: '0', DATABASE_URL: 'sqlite::memory:', TASKS_DIR: directory.path },
    timeout: 120_000,
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => (output += part))
  }
  const readies = () => output.split('"ready at ').length - 1
  try {
    await until('it is ready', () => readies() === 1)
    await write('two.js', task)
    await until('it is ready again', () => readies() === 2)
    assert.match(output, '"tasks":["one","two"]')
    await write('two.js', 'export default 1\n')
    await until('it waits', () => output.includes('waiting for a change'))
    assert.match(output, /two\.js: its default export/)
    await write('two.js', task)
    await until('it is ready once more', () => readies() === 3)
  } finally {
    child.kill('SIGTERM')
  }
  assert.is(await ended, 0)
  assert.match(output.slice(-200), '"stopped"')
})

test.run()
