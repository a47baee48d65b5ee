/** A clock that is set must not have runs forgotten before their time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createPruner } from '../../src/dispatch/periodic.ts'
import { createLog } from '../../src/log.ts'

const dayMs = 86_400_000
const start = 1_790_000_000_000

for (const [stepMs, expectedMs] of [
  [0, 1_000],
  [10 * dayMs, 1_000],
  [-10 * dayMs, 1_000 - 10 * dayMs],
] as const) {
  test(`with a step of ${stepMs / dayMs} days, runs are forgotten by how long ago they have ended`, async () => {
    let system = start
    let steady = 500
    const asked: number[] = []
    const pruner = createPruner({
      store: {
        prune(finishedBefore) {
          asked.push(finishedBefore)
          return Promise.resolve(0)
        },
      },
      clock: { now: () => system },
      steady: { now: () => steady },
      log: createLog('silent'),
      retentionMs: dayMs,
    })
    system += 1_000 + stepMs
    // As it is, with parts of a millisecond.
    steady += 1_000.5
    pruner.start()
    await pruner.stop()
    assert.equal(asked, [start + expectedMs - dayMs])
  })
}

test('a pruner that stops begins no further batch', async () => {
  let batches = 0
  const store = { prune: async () => (batches += 1) }
  const pruner = createPruner({ store, clock: { now: () => start }, log: createLog('silent'), retentionMs: dayMs })
  pruner.start()
  await pruner.stop()
  assert.is(batches, 1)
})

test.run()
