/** How many more jobs may start within a rate. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allowanceOf, startInstant, type Starts } from '../../src/domain/task.ts'

test('no window has too many starts, and waiting jobs start at the earliest possible instant', () => {
  const rates = fc.record({ limit: fc.integer({ min: 1, max: 5 }), perMs: fc.integer({ min: 1, max: 3_000 }) })
  const waits = fc.array(fc.tuple(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 1, max: 4 })), { minLength: 1 })
  fc.assert(
    fc.property(rates, waits, (rate, asked) => {
      let at = 1_000_000
      let starts: Starts[] = []
      const instants: number[] = []
      for (const [waitMs, wanted] of asked) {
        at += waitMs
        const { left, until } = allowanceOf(starts, rate, at)
        assert.is(left > 0, until === null)
        if (until !== null) {
          assert.is(allowanceOf(starts, rate, until - 1).left, 0)
          assert.ok(allowanceOf(starts, rate, until).left > 0)
        }
        const count = Math.min(left, wanted)
        if (count === 0) continue
        instants.push(...Array.from({ length: count }, () => at))
        starts = [...starts, { at: startInstant(at, rate), count }]
      }
      for (const [index, instant] of instants.entries()) {
        assert.ok(instant - (instants[index - rate.limit] ?? -Infinity) >= rate.perMs)
      }
    }),
  )
})

test('a window has a bounded number of instants, and none of them is earlier than its start', () => {
  const rate = { limit: 1_000_000, perMs: 3_600_000 }
  const instants = new Set(Array.from({ length: 36_000 }, (_, index) => startInstant(index * 100, rate)))
  assert.ok(instants.size <= 1_001, `${instants.size}`)
  assert.ok(startInstant(1, rate) >= 1)
})

test.run()
