/** Whatever a task throws is told as plain data, and telling it never throws. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import vm from 'node:vm'
import { serializeError, isRetryableThrown } from '../../src/runtime/serialize-error.ts'

function throwing(): never {
  throw new Error('hostile')
}

/** An object whose members all throw when they are looked at. */
const trap = new Proxy({}, { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing })

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function circular(): unknown {
  const object: Record<string, unknown> = {}
  object['self'] = object
  return object
}

function getting(key: string): Error {
  return Object.defineProperty(new Error('outer'), key, { get: throwing, enumerable: true })
}

const hostile: Record<string, unknown> = {
  null: null,
  undefined,
  'empty string': '',
  string: 'text',
  number: 7,
  NaN: Number.NaN,
  boolean: false,
  bigint: 10n,
  symbol: Symbol('s'),
  'symbol without a name': Symbol(),
  function: throwing,
  class: Map,
  array: [1, [2]],
  object: { a: 1 },
  'object without a prototype': Object.create(null),
  'circular object': circular(),
  'object of bigints': { n: 1n },
  'object that will not be text': { toJSON: throwing, toString: throwing },
  'object whose text is nothing': { toJSON: () => undefined, toString: throwing },
  'revoked proxy': revoked({}),
  'revoked proxy of a function': revoked(throwing),
  'proxy that throws': trap,
  'error that is a proxy': new Proxy(new Error('inner'), {}),
  'message is no text': Object.assign(new Error('x'), { message: 7 }),
  ...Object.fromEntries(
    ['message', 'name', 'code', 'status', 'cause', 'stack'].map((key) => [`getter of ${key} throws`, getting(key)]),
  ),
  'cause that is a trap': new Error('outer', { cause: trap }),
  'status that is no number of JSON': Object.assign(new Error('x'), { status: Number.NaN }),
  'code that is no number of JSON': Object.assign(new Error('x'), { code: Infinity }),
}

Object.assign(hostile, {
  'errors that are a trap': Object.assign(new Error('outer'), { errors: trap }),
  'errors that throw': Object.assign(new Error('outer'), { errors: new Proxy([1], { get: throwing }) }),
  'errors that are traps': new AggregateError([trap, revoked([]), throwing, null, 1n, Symbol('s')], 'outer'),
  'errors that are a revoked list': Object.assign(new Error('outer'), { errors: revoked([]) }),
  'errors without end': Object.assign(new Error('outer'), { errors: { length: Infinity } }),
  'response that is a trap': Object.assign(new Error('outer'), { response: trap }),
  'lone surrogates': Object.assign(new Error('\uD800', { cause: '\uDC00' }), {
    name: 'a\uD800b',
    code: '\uDFFF',
    detail: '\uD800',
    errors: [new Error('\uDBFF')],
  }),
  'a lone surrogate': '\uD800',
  'a pair at the place of the cut': `${'x'.repeat(4_095)}\u{1F600}`,
})

function texts(value: unknown): string[] {
  return typeof value === 'object'
    ? Object.values(value ?? {}).flatMap(texts)
    : typeof value === 'string'
      ? [value]
      : []
}

for (const [what, thrown] of Object.entries(hostile)) {
  test(`thrown: ${what}`, () => {
    const described = serializeError(thrown)
    assert.type(described.message, 'string')
    assert.equal(JSON.parse(JSON.stringify(described)), described, 'it survives being stored')
    assert.equal(structuredClone(described), described, 'it survives crossing threads')
    assert.type(isRetryableThrown(thrown), 'boolean')
    for (const text of texts(described)) assert.ok(text.isWellFormed(), 'it is Unicode')
  })
}

test('an error keeps its name, message, code, status, stack and cause', () => {
  class QuotaError extends Error {
    override name = 'QuotaError'
    code = 'E_QUOTA'
    status = 429
  }
  const thrown = new QuotaError('too much', { cause: Object.assign(new TypeError('inner'), { code: 42 }) })
  const { cause, ...described } = serializeError(thrown)
  const { stack } = thrown
  assert.equal(described, { message: 'too much', name: 'QuotaError', taskCode: 'E_QUOTA', status: 429, stack })
  assert.equal([cause?.message, cause?.name, cause?.taskCode, cause?.status], ['inner', 'TypeError', 42, undefined])
})

test('the errors that an error carries are listed in its message, and the first is its cause', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:1'), { code: 'ECONNREFUSED' })
  const aggregate = new AggregateError([refused, new TypeError('second'), 'third'])
  const { message, name, cause } = serializeError(new Error('fetch failed', { cause: aggregate })).cause ?? {}
  assert.is(message, '[1] Error: connect ECONNREFUSED ::1:1; [2] TypeError: second; [3] third')
  assert.is(name, 'AggregateError')
  assert.is(cause?.taskCode, 'ECONNREFUSED')
  const many = new AggregateError(
    Array.from({ length: 50 }, (_, index) => new Error(`no. ${index}`)),
    'All promises were rejected',
    { cause: 'its own' },
  )
  const told = serializeError(many)
  assert.match(told.message, /^All promises were rejected: \[1\] Error: no\. 0; .*\[10\] Error: no\. 9; and 40 more$/)
  assert.match(told.cause?.message ?? '', 'its own')
  const nested = new AggregateError([new AggregateError([new Error('innermost')], 'inner')], 'outer')
  assert.is(serializeError(nested).message, 'outer: [1] AggregateError: inner: [1] Error: innermost')
})

test('a suppressed error is shown next to the one that suppressed it', () => {
  const thrown = new SuppressedError(new Error('closing'), new RangeError('working'), 'both')
  const { message, cause } = serializeError(thrown)
  assert.is(message, 'both: [1] Error: closing; [2] RangeError: working')
  assert.is(cause?.message, 'closing')
})

test('issues of a validator are listed if its message lacks them', () => {
  const issues = [{ message: 'expected a number', path: ['a'] }]
  assert.is(serializeError(Object.assign(new Error('invalid'), { issues })).message, 'invalid: [1] expected a number')
  const told = Object.assign(new Error('expected a number at a'), { issues })
  assert.is(serializeError(told).message, 'expected a number at a')
})

test('other members of an error follow its stack', () => {
  const members = { errno: -2, syscall: 'open', path: '/x', isFatal: true, secret: { token: 'not told' }, run() {} }
  const thrown = Object.assign(new Error('no such file'), { code: 'ENOENT', ...members, response: { status: 502 } })
  const { message, taskCode, stack } = serializeError(thrown)
  assert.equal([message, taskCode], ['no such file', 'ENOENT'])
  assert.ok(stack?.endsWith('\n{"response.status":502,"errno":-2,"syscall":"open","path":"/x","isFatal":true}'), stack)
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`m${index}`, 'x'.repeat(10_000)]))
  assert.ok((serializeError(Object.assign(new Error('x'), many)).stack?.length ?? 0) < 5_000)
})

test('an error of the web platform, and one whose message is no text, are errors', () => {
  const { message, name, taskCode } = serializeError(new DOMException('stopped', 'AbortError'))
  assert.equal([message, name, taskCode], ['stopped', 'AbortError', 20])
  const odd = serializeError(Object.assign(new RangeError('x'), { message: { at: 7 } }))
  assert.equal([odd.message, odd.name], ['{"at":7}', 'RangeError'])
})

test('a thrown value that is not an error keeps its code and status', () => {
  const { message, taskCode, status } = serializeError({ status: 404, code: 'E_GONE' })
  assert.match(message, '{"status":404,"code":"E_GONE"}')
  assert.equal([taskCode, status], ['E_GONE', 404])
})

test('an error has only the members that it was given', () => {
  assert.equal(Object.keys(serializeError(new Error('plain'))).toSorted(), ['message', 'name', 'stack'])
})

test('an error of another realm is an error', () => {
  const thrown: unknown = vm.runInNewContext('Object.assign(new RangeError("far away"), { code: "E_FAR" })')
  assert.not.instance(thrown, Error)
  const { message, name, taskCode } = serializeError(thrown)
  assert.equal([message, name, taskCode], ['far away', 'RangeError', 'E_FAR'])
})

test('an object that looks like an error is treated like one', () => {
  assert.equal(serializeError({ message: 'look', name: 'Alike', status: 400 }), {
    message: 'look',
    name: 'Alike',
    status: 400,
  })
})

test('a thrown value that is not an error is shown as it is', () => {
  for (const [thrown, expected] of [
    [null, 'null'],
    [undefined, 'undefined'],
    ['text', 'text'],
    [7, '7'],
    [Symbol('s'), 'Symbol(s)'],
    [{ a: [1] }, '{"a":[1]}'],
    [10n, 'bigint'],
    [() => {}, 'function'],
  ] as const) {
    const { message } = serializeError(thrown)
    assert.ok(message.includes(expected), message)
  }
})

test('causes are followed a little way, and no further', () => {
  const thrown = new Error('0')
  thrown.cause = thrown
  assert.ok(depthOf(serializeError(thrown)) <= 10)
  let deep = new Error('innermost')
  for (let depth = 0; depth < 10_000; depth += 1) deep = new Error(`at ${depth}`, { cause: deep })
  const depth = depthOf(serializeError(deep))
  assert.ok(depth >= 3 && depth <= 10, `${depth} causes`)
  const three = new Error('a', { cause: new Error('b', { cause: new Error('c', { cause: 'd' }) }) })
  assert.ok(serializeError(three).cause?.cause?.cause?.message.includes('d'))
  assert.ok(serializeError(new Error('a', { cause: null })).cause?.message.includes('null'))
})

test('the description of a thrown value is bounded, whatever its size', () => {
  const huge = 'x'.repeat(5_000_000)
  const members = { name: huge, stack: huge }
  const maxBytes = 300_000
  for (const thrown of [
    huge,
    Symbol(huge),
    { huge },
    Object.assign(new Error(huge), members),
    Object.assign(new Error('outer'), { cause: Object.assign(new Error(huge), members) }),
    Object.assign(new Error('code'), { code: huge }),
  ]) {
    const { length } = JSON.stringify(serializeError(thrown))
    assert.ok(length <= maxBytes, `${length} characters`)
  }
  assert.ok(serializeError(new Error(`begins ${huge}`)).message.startsWith('begins x'))
})

test('a failure is retryable unless the error says otherwise', () => {
  assert.is(isRetryableThrown(Object.assign(new Error('no'), { retryable: false })), false)
  assert.is(isRetryableThrown({ retryable: false }), false)
  for (const retryable of [true, undefined, null, 0, '']) {
    assert.is(isRetryableThrown(Object.assign(new Error('no'), { retryable })), true)
  }
  assert.is(isRetryableThrown(getting('retryable')), true)
})

function depthOf(described: ReturnType<typeof serializeError>): number {
  let depth = 0
  for (let { cause } = described; cause !== undefined; { cause } = cause) depth += 1
  return depth
}

test('errors that an error carries by name, in a map or in a set are listed too', () => {
  const required = new TypeError('is required')
  const carriers = {
    object: { errors: { name: required, age: ['too low'], count: 2 } },
    map: {
      errors: new Map<unknown, unknown>([
        ['name', required],
        ['age', ['too low']],
      ]),
    },
  }
  for (const [what, members] of Object.entries(carriers)) {
    const { message, cause } = serializeError(Object.assign(new Error('invalid'), members))
    assert.is(message, 'invalid: [name] TypeError: is required; [age] ["too low"]', what)
    assert.is(cause?.message, 'is required', what)
  }
  const { message } = serializeError(Object.assign(new Error('invalid'), { issues: new Set([required]) }))
  assert.is(message, 'invalid: [1] TypeError: is required')
})

test('errors under any name and bigints follow the stack', () => {
  const { stack = '' } = serializeError(Object.assign(new Error('outer'), { inner: new RangeError('why'), id: 10n }))
  assert.is(stack.split('\n').at(-1), '{"inner":"RangeError: why","id":"10"}')
})

test('a value that shows nothing of itself is named by its class', () => {
  for (const value of [new Map(), new Headers()]) {
    const expected = `thrown value that is not an error: an object of class ${value.constructor.name}`
    assert.is(serializeError(value).message, expected)
  }
  assert.is(serializeError({}).message, 'thrown value that is not an error: {}')
})

test.run()
