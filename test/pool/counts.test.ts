/** What the pool reports about itself. */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

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

test('threads report their name, their kind and their busy share', async () => {
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

test('threads that end with the pool do not count as replaced', async () => {
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

test('a thread that is stuck in native code counts as a zombie until it has ended, and makes the pool unhealthy', async () => {
  using pipe = makePipe()
  await using opened = await openPool({ ioThreads: 0 })
  const { pool } = opened
  const stuck = await opened.start({ task: 'opens-pipe', input: pipe.path, timeoutMs: 100 })
  const outcome = await stuck.outcome
  assert.is(outcome !== 'released' && !outcome.ok && outcome.error.code, 'timeout')
  assert.equal([pool.counts().zombies, pool.unhealthyReason()], [0, null], 'it may still go')
  await until('it is given up', () => pool.counts().zombies === 1)
  assert.is(pool.unhealthyReason(), '1 of 1 threads are stuck in native code')
  pipe.open()
  await opened.whole()
  assert.equal([pool.counts().zombies, pool.unhealthyReason()], [0, null])
})

for (const isSync of [true, false]) {
  test(`an io thread that is stuck in ${isSync ? 'its own' : 'a libuv'} thread's call is given up`, async () => {
    using pipe = makePipe()
    await using opened = await openPool({ threads: 0 })
    const { pool } = opened
    const input = { path: pipe.path, isSync }
    const stuck = await opened.outcomeOf({ task: 'reads-pipe-io', input, timeoutMs: 100 })
    assert.is(!stuck.ok && stuck.error.code, 'timeout')
    assert.is((await opened.outcomeOf({ task: 'good-io' })).ok, true)
    assert.equal([pool.counts().zombies, pool.unhealthyReason()], [1, null])
    pipe.open()
    await until('it has ended', () => pool.counts().zombies === 0)
    assert.is((await opened.outcomeOf({ task: 'good-io' })).ok, true)
    assert.equal(pool.counts().replaced, { timeout: 1 }, 'its end costs the new one nothing')
  })
}

function makePipe(): Disposable & { readonly path: string; open(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'forerunner-'))
  const path = join(directory, 'pipe')
  execFileSync('mkfifo', [path])
  // For reading too, and not waiting for who does: so it opens at once, and whoever waits for it goes on.
  const open = (): void => closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK))
  return {
    path,
    open,
    [Symbol.dispose]() {
      // A thread that is still stuck would keep the tests from ending.
      open()
      rmSync(directory, { recursive: true })
    },
  }
}

test.run()
