/** After many kills the pool has its configured threads, and no additional listener or handle. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openPool } from '../harness/pool.ts'

const kills = 32
/** Threads that are killed at once, each as soon as it is ready. */
const threads = 4

test(`after ${kills} ended threads the pool is complete and has not grown`, async () => {
  await using opened = await openPool({ threads })
  const signals = ['exit', 'uncaughtException', 'SIGTERM'] as const
  const listeners = () => signals.map((name) => process.listenerCount(name))
  const before = listeners()
  const names = opened.pool.threads().slice(0, threads)
  await Promise.all(
    names.map(async ({ name }) => {
      for (let kill = 0; kill < kills / threads; kill += 1) {
        const outcome = await opened.outcomeOf({ task: 'exits', thread: name })
        assert.is(!outcome.ok && outcome.error.exitCode, 3)
      }
    }),
  )
  await opened.whole()
  assert.is(opened.pool.threads().length, threads + 1)
  assert.equal(opened.pool.counts().replaced, { died: kills })
  assert.equal(listeners(), before)
  assert.equal(await opened.outcomeOf({ task: 'good-cpu', input: 'still here' }), { ok: true, result: '"still here"' })
})

test.run()
