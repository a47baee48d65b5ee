/** The log of `forerunner dev` as a terminal shows it. */
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readableLine } from '../../src/cli/dev.ts'

const shown = (entry: object): string => stripVTControlCharacters(readableLine(JSON.stringify(entry))).slice(8)
const time = '2026-11-29T12:00:00.000Z'

test('shows an entry of the log as one line of text', () => {
  assert.is(shown({ level: 'info', time, tasks: ['a', 'b'], skipped: [], msg: 'loaded' }), '  loaded  tasks=a,b')
  assert.is(
    shown({ level: 'error', time, err: { type: 'Error', message: 'no\u001B[2J' }, msg: 'failed' }),
    '  error: failed  err=no',
  )
})

test('does not change the output of a task', () => {
  for (const line of ['hello', '{"a":1}', '{', 'null', '']) assert.is(readableLine(line), line)
})

test.run()
