/** The classification of errors of PostgreSQL, of pg and of the system. */
import { constants } from 'node:os'
import { DatabaseError } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DatabaseFailure } from '../../src/store/postgres/connection/errors.ts'

const kindOf = (cause: unknown): string => new DatabaseFailure(cause, 'a statement').kind

test('every error of the system means a lost connection, even if its code looks like an SQLSTATE', () => {
  const codes = Object.keys(constants.errno)
  assert.ok(codes.includes('EPIPE'))
  const kinds = codes.map((code) => kindOf(Object.assign(new Error(`write ${code}`), { code, syscall: 'write' })))
  assert.equal([...new Set(kinds)], ['lost'])
  assert.is(kindOf(new Error('Query read timeout')), 'lost')
})

test('an error of the server is classified by its SQLSTATE', () => {
  const codes = { '57P01': 'lost', '08006': 'lost', '40001': 'conflict', '23505': 'refused', '53100': 'unavailable' }
  for (const [code, kind] of Object.entries(codes)) {
    const error = Object.assign(new DatabaseError('refused', 7, 'error'), { severity: 'ERROR', code })
    assert.is(kindOf(error), kind, code)
  }
})

test.run()
