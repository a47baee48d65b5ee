import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createSlidingHistogram } from '../../src/metrics/histogram.ts'

const near = (value: number | null, expected: number): void =>
  assert.ok(value !== null && Math.abs(value - expected) <= expected * 0.05, `${value} is about ${expected}`)

test('knows the quantiles of the recorded values, within a twentieth', () => {
  const histogram = createSlidingHistogram(1_000, 2)
  assert.equal(histogram.read(), { count: 0, p50: null, p99: null })
  for (let ms = 1; ms <= 1_000; ms += 1) histogram.record(ms)
  const { count, p50, p99 } = histogram.read()
  assert.is(count, 1_000)
  near(p50, 500)
  near(p99, 990)
})

test('accepts any duration', () => {
  const histogram = createSlidingHistogram(Infinity, 1)
  for (const ms of [0, -1, 0.0001, 0.02, 1e12]) histogram.record(ms)
  const { count, p50 } = histogram.read()
  assert.equal([count, p50], [5, 0])
})

test('drops values older than its intervals', () => {
  let now = 0
  const histogram = createSlidingHistogram(1_000, 3, () => now)
  histogram.record(10)
  now = 2_900
  histogram.record(20)
  assert.is(histogram.read().count, 2)
  now = 3_000
  assert.is(histogram.read().count, 1)
  now = 9_000
  assert.is(histogram.read().count, 0)
  histogram.record(30)
  near(histogram.read().p50, 30)
})

test.run()
