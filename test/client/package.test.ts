/** What the package gives to browsers: a client that stands alone. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importsOf, withoutText } from '../conventions/sources.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const directory = join(root, 'dist/src/client')
const files = readdirSync(directory).filter((name) => name.endsWith('.js'))

test('imports nothing but its own files, and nothing that Node alone has', () => {
  assert.ok(files.includes('client.js'), String(files))
  for (const file of files) {
    const source = readFileSync(join(directory, file), 'utf8')
    for (const name of importsOf(source)) assert.match(name, /^\.\/[a-z-]+\.js$/, file)
    assert.not.match(withoutText(source), /\b(?:process|Buffer|global|require|setImmediate|__dirname)\b/, file)
  }
})

test('is exported as forerunner/client', async () => {
  const script = "import('forerunner/client').then((client) => console.log(Object.keys(client).join()))"
  const { stdout } = await promisify(execFile)(process.execPath, ['--eval', script], { cwd: root, timeout: 60_000 })
  assert.equal(stdout.trim().split(',').toSorted(), ['ProblemError', 'createClient'])
})

test.run()
