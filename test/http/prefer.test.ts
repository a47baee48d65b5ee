/** What a client prefers, by the grammar of RFC 7240. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { appliedPrefer, parsePrefer, type Preferences } from '../../src/http/request-head.ts'
import { anyText } from '../harness/any-text.ts'
import { workedMs } from '../harness/worked-ms.ts'

const none: Preferences = { respondAsync: false, waitS: null, isMinimal: false }
const cases = (table: [string | string[], Partial<Preferences>][]) => {
  for (const [given, expected] of table) {
    assert.equal(parsePrefer(given), { ...none, ...expected }, JSON.stringify(given))
  }
}

test('without the header nothing is preferred', () => {
  assert.equal(parsePrefer(undefined), none)
  cases([
    ['', {}],
    [[], {}],
    [' , ,, ', {}],
  ])
})

test('knows respond-async, wait and return=minimal', () => {
  cases([
    ['respond-async', { respondAsync: true }],
    ['wait=10', { waitS: 10 }],
    ['return=minimal', { isMinimal: true }],
    ['return=representation', {}],
    ['respond-async, wait=10, return=minimal', { respondAsync: true, waitS: 10, isMinimal: true }],
  ])
})

test('takes several fields, optional whitespace, any case, quoted strings and parameters', () => {
  cases([
    [['respond-async', 'wait=10'], { respondAsync: true, waitS: 10 }],
    [',respond-async\t,, wait \t=\t 10 ,', { respondAsync: true, waitS: 10 }],
    ['Respond-Async, WAIT=10, Return=Minimal', { respondAsync: true, waitS: 10, isMinimal: true }],
    ['wait="10", return="minimal"', { waitS: 10, isMinimal: true }],
    [String.raw`wait="1\0", return="\m\inimal"`, { waitS: 10, isMinimal: true }],
    ['wait=10; a; b=c; d="e,f;g" ;, respond-async ; x', { waitS: 10, respondAsync: true }],
  ])
})

test('an empty value counts as absent', () => {
  cases([
    ['respond-async=', { respondAsync: true }],
    ['respond-async = ""', { respondAsync: true }],
    ['wait', {}],
    ['wait=', {}],
    ['wait=""', {}],
    ['return', {}],
  ])
})

test('of repeated preferences the first one counts, over several fields too', () => {
  cases([
    ['wait=5, wait=10', { waitS: 5 }],
    [['wait=5', 'WAIT=10'], { waitS: 5 }],
    ['return=representation, return=minimal', {}],
    ['wait=soon, wait=10', {}],
  ])
})

test('unknown or malformed preferences do not affect the others', () => {
  cases([
    ['priority=5, wait=10; x=y, foo; bar, respond-async', { waitS: 10, respondAsync: true }],
    ['=, wait 10, ;, wait=10', { waitS: 10 }],
    ['wait==5, wait=10', { waitS: 10 }],
    ['wait=5;=;x, wait=10', { waitS: 10 }],
    ['wait=5 6, wait=10', { waitS: 10 }],
    ['foo="a, wait=5", wait=10', { waitS: 10 }],
    [String.raw`foo="a\", wait=5", wait=10`, { waitS: 10 }],
    ['wait=10, foo="never closed, respond-async', { waitS: 10 }],
    [['foo="never closed', 'respond-async'], { respondAsync: true }],
    ['__proto__=1, constructor, wait=10', { waitS: 10 }],
  ])
})

test('wait is a whole number of seconds, and 60 at the most', () => {
  cases([
    ['wait=0', { waitS: 0 }],
    ['wait=007', { waitS: 7 }],
    ['wait=60', { waitS: 60 }],
    ['wait=61', { waitS: 60 }],
    [`wait=${'9'.repeat(400)}`, { waitS: 60 }],
    ...['-1', '+1', '1.5', '1e1', '0x1', 'Infinity', '" 1"', '١'].map((value): [string, object] => [
      `wait=${value}`,
      {},
    ]),
  ])
})

test('names the applied preferences, if there are any', () => {
  assert.is(appliedPrefer(none), null)
  assert.is(appliedPrefer({ ...none, waitS: 0 }), 'wait=0')
  assert.is(appliedPrefer({ respondAsync: true, waitS: 9, isMinimal: true }), 'respond-async, wait=9, return=minimal')
})

const anyHeader = fc.oneof(
  anyText(),
  fc.string({
    unit: fc.constantFrom('"', '\\', ',', ';', '=', ' ', '\t', 'wait', 'return', 'minimal', 'respond-async', '9'),
  }),
)

test('accepts any text, and finds only known preferences', () => {
  fc.assert(
    fc.property(fc.oneof(anyHeader, fc.array(anyHeader)), (given) => {
      const { waitS } = parsePrefer(given)
      assert.ok(waitS === null || (Number.isInteger(waitS) && waitS >= 0 && waitS <= 60))
    }),
    { numRuns: 2_000 },
  )
})

const quote = (text: string) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`
const space = fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 })
const tokens = fc.string({ unit: fc.constantFrom(..."!#$%&'*+-.^_`|~azAZ09".split('')), minLength: 1, maxLength: 8 })
const words = fc.oneof(
  tokens,
  fc.string({ unit: fc.constantFrom(...'a ,;="\\\té'.split('')), maxLength: 8 }).map(quote),
)
const known = new Set(['respond-async', 'wait', 'return'])
const unknown = fc
  .tuple(
    tokens.filter((name) => !known.has(name.toLowerCase())),
    fc.option(words),
  )
  .map(([name, value]) => (value === null ? name : `${name}=${value}`))
const parameters = fc.array(
  fc.tuple(space, space, tokens, words).map(([a, b, name, word]) => `${a};${b}${name}=${word}`),
  {
    maxLength: 2,
  },
)
const preferences: fc.Arbitrary<Preferences> = fc
  .tuple(fc.boolean(), fc.option(fc.nat({ max: 60 })), fc.boolean())
  .map(([respondAsync, waitS, isMinimal]) => ({ respondAsync, waitS, isMinimal }))

test('parses the preferences that it has named, in any order and among others', () => {
  const wishes = preferences.chain((wanted) => {
    const own = (appliedPrefer(wanted) ?? '').split(', ').filter((name) => name !== '')
    return fc.record({
      wanted: fc.constant(wanted),
      own: fc.shuffledSubarray(own, { minLength: own.length }),
      others: fc.array(unknown, { maxLength: 4 }),
      after: parameters,
      around: space,
    })
  })
  fc.assert(
    fc.property(wishes, fc.boolean(), ({ wanted, own, others, after, around }, isOneField) => {
      const written = [...others, ...own, ...others].map((item) => `${around}${item}${after.join('')}${around}`)
      assert.equal(parsePrefer(isOneField ? written.join(',') : written), wanted, JSON.stringify(written))
    }),
    { numRuns: 1_000 },
  )
})

test('takes no longer for adversarial input', () => {
  const length = 100_000
  for (const part of ['"', '\\"', '"\\', ';', ' ', '= ', 'a;', '";"', 'wait=;']) {
    const before = workedMs()
    parsePrefer(`x=${part.repeat(length)}!`)
    assert.ok(workedMs() - before < 2_000, part)
  }
})

test.run()
