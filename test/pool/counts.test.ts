/** What the pool tells of itself. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'

test('replaced threads are counted by cause', async () => {
  await using opened = await openPool()
  assert.equal(opened.pool.counts(), { replaced: {}, zombies: 0 })
  await opened.outcomeOf({ task: 'exits' })
  await opened.outcomeOf({ task: 'misbehave-cpu', input: 'endless loop', timeoutMs: 100 })
  await opened.outcomeOf({ task: 'misbehave-cpu', input: 'hoards buffers' })
  await opened.outcomeOf({ task: 'misbehave-cpu', input: 'patches prototypes' })
  await opened.whole()
  assert.equal(opened.pool.counts(), { replaced: { died: 1, timeout: 1, out_of_memory: 1, tainted: 1 }, zombies: 0 })
})

test('threads are named through, and tell their kind and what share of their time they were busy', async () => {
  await using opened = await openPool({ threads: 2, ioThreads: 2 })
  const running = await opened.start({ task: 'misbehave-cpu', input: 'waits a little' })
  assert.equal(
    opened.pool.threads().map(({ name, kind, running: jobs }) => [name, kind, jobs]),
    [
      ['worker-1', 'cpu', 1],
      ['worker-2', 'cpu', 0],
      ['worker-3', 'io', 0],
      ['worker-4', 'io', 0],
    ],
  )
  await running.outcome
  await opened.whole()
  const [first, second] = opened.pool.threads().map(({ busyShare }) => busyShare)
  assert.ok(first !== undefined && first > 0 && first <= 1)
  assert.is(second, 0)
})

test('threads that are ended with the pool are not told of as replaced', async () => {
  const told: unknown[] = []
  const log: Log = Object.assign(createLog('silent'), { info: (_fields: unknown, text: unknown) => told.push(text) })
  const { pool } = await openPool({}, log)
  await pool.stop()
  assert.equal(told, [])
  assert.equal(
    pool.threads().map(({ state }) => state),
    ['dying', 'dying'],
  )
})

test.run()
