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
  const lookalike = '{"level":{"toString":1},"time":{"toString":1},"msg":{"toString":1}}'
  for (const line of ['hello', '{"a":1}', '{', 'null', '', lookalike]) assert.is(readableLine(line), line)
})

test('shows entries of tasks with any level and any fields', () => {
  for (const level of ['constructor', '__proto__', 'trace']) {
    assert.is(shown({ level, time, none: null, msg: 'mine' }), '  mine  none=null')
  }
  const odd = { toString: 1 }
  const entry = { level: 'info', time, odd, list: ['a', odd, null], err: { message: odd }, msg: 'mine' }
  assert.is(shown(entry), '  mine  odd={"toString":1} list=a,{"toString":1},null err={"message":{"toString":1}}')
})

test.run()
