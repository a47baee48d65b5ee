/** What `npm test -- PATTERN` says when it has nothing to run: a success would hide that nothing was tested. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const script = fileURLToPath(new URL('../.scripts/test.mjs', import.meta.url))

function runTests(pattern: string): { readonly code: number | null; readonly errors: string } {
  const { status, stderr } = spawnSync(process.execPath, [script, pattern], { encoding: 'utf8' })
  return { code: status, errors: stderr }
}

test('a pattern that matches no test file fails with a sentence', () => {
  // The second matches files, none of which has tests.
  for (const pattern of ['^nothing/', '^harness/']) {
    const { code, errors } = runTests(pattern)
    assert.is(code, 1, pattern)
    assert.is(errors, `no test file matches ${pattern}: the pattern is a regular expression of paths under test/\n`)
  }
})

test('a pattern that is no regular expression fails with a sentence', () => {
  const { code, errors } = runTests('(')
  assert.is(code, 1)
  assert.match(errors, /^SyntaxError: Invalid regular expression: .*\n$/)
})

test.run()
