/** Which flags of the process its threads are given. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { threadFlags } from '../../src/execution/pool/worker-host.ts'

test('flags that decide how modules are found, loaded and traced are for threads too', () => {
  const flags = ['--import', 'tsx', '--require=./a.cjs', '-C', 'development', '--conditions=x', '--enable-source-maps']
  assert.equal(threadFlags(flags), flags)
  assert.equal(threadFlags(['--experimental-transform-types', '--no-experimental-require-module']), [
    '--experimental-transform-types',
    '--no-experimental-require-module',
  ])
})

test('other flags are not', () => {
  const others = [
    '--max-semi-space-size=8',
    '--inspect',
    '--watch',
    '--env-file=.env',
    '--experimental-sea-config',
    '--title=x',
  ]
  assert.equal(threadFlags(['--import', 'a', ...others, '--import', 'b']), ['--import', 'a', '--import', 'b'])
})

test.run()
