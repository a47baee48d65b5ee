import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { pageTokenOf, parsePageToken } from '../../src/http/routes/list-runs.ts'

test('a token gives back the id that it was made of', () => {
  fc.assert(fc.property(fc.uuid({ version: 7 }), (id) => parsePageToken(pageTokenOf(id)) === id))
})

test('every other text is refused, and nothing else is thrown', () => {
  const noise = fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.uuid(), fc.constant(''))
  fc.assert(
    fc.property(noise, (text) => {
      assert.is(refusalOf(text), 'invalid-page-token', JSON.stringify(text))
    }),
  )
})

test('a token that was changed anywhere is refused or names another run', () => {
  const id = newRunId()
  const token = pageTokenOf(id)
  fc.assert(
    fc.property(fc.nat(token.length), fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }), (at, inserted) => {
      const changed = token.slice(0, at) + inserted + token.slice(at)
      assert.is(refusalOf(changed), 'invalid-page-token', JSON.stringify(changed))
    }),
  )
})

function refusalOf(text: string): string | undefined {
  try {
    parsePageToken(text)
    return undefined
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

test.run()
