import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { parseIdempotencyKey } from '../../src/http/request-head.ts'
import { anyText } from '../harness/any-text.ts'

const printable = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCodePoint(code))
const key = fc.string({ unit: printable, minLength: 1, maxLength: 255 })

const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`

test('a quoted string is a key with any printable characters', () => {
  fc.assert(fc.property(key, (text) => parseIdempotencyKey([quote(text)]) === text))
})

test('without quotes it is the same key, unless it contains quotes or outer spaces', () => {
  const bare = key.map((text) => text.replaceAll('"', "'").trim()).filter((text) => text !== '')
  fc.assert(fc.property(bare, (text) => parseIdempotencyKey([text]) === text))
})

test('any header is a key of 1 to 255 characters or is refused, without other errors', () => {
  fc.assert(
    fc.property(anyText({ maxLength: 300 }), (text) => {
      try {
        const parsed = parseIdempotencyKey([text]) ?? ''
        assert.ok(parsed.length >= 1 && parsed.length <= 255)
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        assert.is(error.code, 'idempotency-key-invalid')
      }
    }),
  )
})

test('none was sent: there is no key; two were sent: neither is', () => {
  assert.is(parseIdempotencyKey(undefined), null)
  assert.is(parseIdempotencyKey([]), null)
  assert.throws(
    () => parseIdempotencyKey(['a', 'a']),
    (error: unknown) => error instanceof AppError && error.code === 'idempotency-key-invalid',
  )
})

test.run()
