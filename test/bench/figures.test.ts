/** The arithmetic behind every figure that is published: an error here would be a lie in every table. */
import { test } from 'uvu'
import { equal, is, ok } from 'uvu/assert'
import { median, pairedRatios, spread } from '../../bench/rig/figures.ts'
import { percentile } from '../../src/cli/open-loop.ts'
import { planCores } from '../../bench/rig/cores.ts'
import { spentUs } from '../../bench/rig/cpu-time.ts'
import { judge, targets } from '../../bench/report/targets.ts'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

test('a percentile is the least value that so many of all do not exceed', () => {
  is(percentile(upTo(100), 50), 50)
  is(percentile(upTo(100), 99), 99)
  is(percentile(upTo(1_000), 99.9), 999)
  is(percentile(upTo(1_001), 99.9), 1_000)
  is(percentile(upTo(101), 99), 100)
  is(percentile([7], 1), 7)
  is(percentile([7], 99.9), 7)
  ok(Number.isNaN(percentile([], 50)))
})

test('a median does not depend on the order, and is one of the values', () => {
  is(median([30, 1, 2]), 2)
  is(median([4, 1, 3, 2]), 2)
})

test('a ratio is taken round by round, so that a slow round of both sides counts for nothing', () => {
  const ones = [100, 10, 120]
  const others = [50, 5, 40]
  equal(pairedRatios(ones, others), [2, 2, 3])
  is(median(pairedRatios(ones, others)), 2)
  equal(pairedRatios([1, 2], [1]), [1])
})

test('a spread shows the median between the least and the most', () => {
  is(spread([3_000, 1_000, 2_000]), '2,000 (1,000–3,000)')
  is(spread([1.26], 1), '1.3')
  is(spread([]), 'n/a')
})

test('adds up the CPU time in between of threads with one name', () => {
  const before = new Map([['1', { name: 'main', us: 100 }]])
  const after = new Map([
    ['1', { name: 'main', us: 250 }],
    ['2', { name: 'pool', us: 30 }],
    ['3', { name: 'pool', us: 12 }],
  ])
  equal(spentUs(before, after), { main: 150, pool: 42 })
})

test('the generator has its own core if there are three, and otherwise shares one', () => {
  equal(planCores([0, 1, 2, 3]), { generator: 0, servers: [1, 2, 3] })
  equal(planCores([4, 6]), { generator: 4, servers: null })
  equal(planCores([]), { generator: null, servers: null })
})

test('a target is met only if it is met in all circumstances', () => {
  const target = {
    what: 'rate',
    limit: 2,
    isAtLeast: true,
    digits: 1,
    measure: () => [
      { value: 2, when: 'at 50' },
      { value: 1.96, when: 'at 200' },
    ],
  }
  equal(judge(target, {}), { what: 'rate', limit: '≥ 2', measured: '2.0 at 50, 2.0 at 200', isMet: false })
  is(judge({ ...target, isAtLeast: false }, {}).isMet, true)
  is(judge({ ...target, measure: () => [{ value: 2 }, { value: null }] }, {}).isMet, null)
})

test('without figures no target counts as met', () => {
  equal([...new Set(targets.map((target) => judge(target, {}).isMet))], [null])
})

test.run()
