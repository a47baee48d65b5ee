/** What is typed as JSON is sent as it was typed, or not at all. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseTyped } from '../../web/start/typed-json.ts'

test('takes JSON whose numbers are kept', () => {
  assert.equal(parseTyped(' '), { ok: true, value: undefined })
  for (const text of [
    '{"b":1,"a":[9007199254740992,-1.5e300,0.1]}',
    '"12345678901234567890"',
    '1e21',
    '1.0',
    '{"b":1,"10":2}',
    '{"12345678901234567":"\\""}',
  ]) {
    const typed = parseTyped(text)
    assert.is(typed.ok && typed.value?.text, text)
  }
})

test('refuses text that is not JSON, and whole numbers that would lose digits', () => {
  assert.equal(parseTyped('{a:1}'), { ok: false, reason: 'This is not JSON.' })
  for (const number of ['9007199254740993', '-12345678901234567890']) {
    const parsed = parseTyped(`{"a":["x",${number}]}`)
    assert.ok(!parsed.ok && parsed.reason.startsWith(`${number} has more digits`))
  }
})

test.run()
