/** A result is JSON, or is refused with the place where it is not: nothing of it is lost without a word. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import vm from 'node:vm'
import { maxJsonDepth } from '../../src/domain/json.ts'
import { maxResultBytes } from '../../src/domain/task.ts'
import { encodeResult } from '../../src/execution/result.ts'
import { nested } from '../fixtures/misbehaviours.ts'

class Row {
  readonly id = 1
  readonly #secret = 2
  secret(): number {
    return this.#secret
  }
}

class Hidden {
  readonly #secret = 2
  secret(): number {
    return this.#secret
  }
}

class Own {
  toJSON(key: string): unknown {
    return { key, at: new Date(0) }
  }
}

function problemOf(value: unknown): string {
  const encoded = encodeResult(value)
  if (encoded.ok) throw new Error(`it is taken, as ${encoded.text}`)
  return encoded.problem
}

function hostile(key: string): object {
  return Object.defineProperty({}, key, {
    enumerable: true,
    get() {
      throw new Error('not to be seen')
    },
  })
}

const circle: Record<string, unknown> = { a: { b: {} } }
Reflect.set(Object(Reflect.get(Object(circle['a']), 'b')), 'self', circle['a'])

const refused: readonly (readonly [unknown, string])[] = [
  [Number.NaN, 'NaN'],
  [Infinity, 'Infinity'],
  [{ rows: [{}, { price: -Infinity }] }, '-Infinity at /rows/1/price'],
  [{ 'a/b~c': Number.NaN }, 'NaN at /a~1b~0c'],
  [{ at: new Date(Number.NaN) }, 'an invalid date at /at'],
  [{ n: [1n] }, 'a bigint at /n/0'],
  [() => 1, 'a function'],
  [{ run() {} }, 'a function at /run'],
  [[Symbol('x')], 'a symbol at /0'],
  [new Map([[1, 2]]), 'an object of class Map'],
  [Object.assign(new Map(), { size2: 1 }), 'an object of class Map'],
  [{ set: new Set([1]) }, 'an object of class Set at /set'],
  [{ all: [Promise.resolve(1)] }, 'a promise at /all/0'],
  [{ error: new RangeError('x') }, 'an error at /error'],
  [Object.assign(new Error('x'), { code: 1 }), 'an error'],
  [{ pattern: /x/ }, 'an object of class RegExp at /pattern'],
  [new Float64Array(2), 'an object of class Float64Array'],
  [new ArrayBuffer(2), 'an object of class ArrayBuffer'],
  [new WeakMap(), 'an object of class WeakMap'],
  [{ h: new Headers() }, 'an object of class Headers at /h'],
  [new Hidden(), 'an object of class Hidden'],
  [Object(Symbol('x')), 'an object of class Symbol'],
  [Object(1n), 'an object of class BigInt'],
  [Object(Number.NaN), 'NaN'],
  [{ toJSON: () => Number.NaN }, 'NaN'],
  [{ deep: { toJSON: () => new Map() } }, 'an object of class Map at /deep'],
  [{ toJSON: () => undefined }, 'an object whose toJSON() returns nothing'],
  [circle, 'an object that contains itself at /a/b/self'],
  [{ a: hostile('b') }, 'what throws (not to be seen) at /a'],
  [{ a: { toJSON: () => hostile('b') } }, 'what throws (not to be seen) at /a'],
  [Object.defineProperty({}, 'toJSON', { value: () => Number.NaN }), 'NaN'],
  [vm.runInNewContext('({ of: new Map() })'), 'an object of class Map at /of'],
]

for (const [value, what] of refused) {
  test(`refuses ${what}`, () => assert.is(problemOf(value), `is not a JSON value: ${what}`))
}

const taken: readonly (readonly [unknown, string])[] = [
  [undefined, 'null'],
  [{ a: undefined, [Symbol('x')]: 1 }, '{}'],
  // As at the top: in an array, `undefined` has a place.
  [[1, undefined, { b: undefined }], '[1,null,{}]'],
  // oxlint-disable-next-line no-sparse-arrays
  [[1, , 3], '[1,null,3]'],
  [{ at: [new Date(0)] }, '{"at":["1970-01-01T00:00:00.000Z"]}'],
  [{ a: undefined, at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
  [{ own: new Own() }, '{"own":{"key":"own","at":"1970-01-01T00:00:00.000Z"}}'],
  [{ to: new URL('http://a.test/') }, '{"to":"http://a.test/"}'],
  [Buffer.from('a'), '{"type":"Buffer","data":[97]}'],
  [[new Row()], '[{"id":1}]'],
  [
    { row: Object.assign(Object.create(null), { a: 1 }), at: new Date(0) },
    '{"row":{"a":1},"at":"1970-01-01T00:00:00.000Z"}',
  ],
  [[Object(1), Object('x'), Object(false)], '[1,"x",false]'],
  [JSON.parse('{"__proto__":{"a":1}}'), '{"__proto__":{"a":1}}'],
  [[new Date(0), JSON.parse('{"__proto__":{"a":1}}')], '["1970-01-01T00:00:00.000Z",{"__proto__":{"a":1}}]'],
  [vm.runInNewContext('({ empty: {}, list: [1] })'), '{"empty":{},"list":[1]}'],
  [-0, '0'],
]

for (const [value, text] of taken) test(`takes ${text}`, () => assert.equal(encodeResult(value), { ok: true, text }))

test('takes as many levels as a request may have, and no more', () => {
  assert.ok(encodeResult(nested(maxJsonDepth)).ok)
  for (const value of [nested(maxJsonDepth + 1), [new Date(0), nested(5_000)], nested(100_000)]) {
    assert.match(problemOf(value), /^is nested more than 200 levels deep, at \/[01]\/0\//)
  }
  let deep: unknown = {}
  for (let level = 0; level < 5_000; level += 1) deep = { 'a long name': deep }
  const problem = problemOf({ toJSON: () => deep })
  assert.match(problem, '/a long name/a long name')
  assert.ok(problem.length < 500)
})

test('a value that repeats itself without end is looked at for as long as the bytes are allowed', () => {
  let value: unknown = 'x'
  for (let level = 0; level < 60; level += 1) value = [value, value]
  const problem = `has more than the ${maxResultBytes} bytes as JSON that are allowed`
  const long = { b: Object.assign([], { length: 4_000_000_000 }) }
  for (const one of [value, { toJSON: () => value }, long]) assert.is(problemOf(one), problem)
})

test.run()
