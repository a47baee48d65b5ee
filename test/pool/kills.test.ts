/** The pool after many kills: as many threads as configured, and no listener or handle left behind. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openPool } from '../harness/pool.ts'

const kills = 500

test(`after ${kills} ended threads the pool is whole and has not grown`, async () => {
  await using opened = await openPool({ threads: 2 })
  const signals = ['exit', 'uncaughtException', 'SIGTERM'] as const
  const listeners = () => signals.map((name) => process.listenerCount(name))
  const before = listeners()
  for (let kill = 0; kill < kills; kill += 2) {
    const pair = [0, 1].map(() => opened.outcomeOf({ task: 'exits' }))
    for (const outcome of await Promise.all(pair)) assert.is(!outcome.ok && outcome.error.exitCode, 3)
  }
  await opened.whole()
  assert.is(opened.pool.threads().length, 3)
  assert.equal(listeners(), before)
  assert.equal(await opened.outcomeOf({ task: 'good-cpu', input: 'still here' }), { ok: true, result: '"still here"' })
})

test.run()
