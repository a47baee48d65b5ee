import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { countZombies, unhealthyReason, type ThreadState } from '../../src/execution/pool/pool-thread.ts'

const at = (kind: 'cpu' | 'io', state: ThreadState, unreadySince: number | null) => ({ kind, state, unreadySince })
const ready = (kind: 'cpu' | 'io') => at(kind, 'ready', null)

test('a pool is healthy while its threads take jobs or are replaced in time', () => {
  assert.is(unhealthyReason([ready('cpu'), ready('io')], 1_000_000), null)
  assert.is(unhealthyReason([at('cpu', 'starting', 970_001), ready('io')], 1_000_000), null)
  assert.is(unhealthyReason([at('cpu', 'dying', 900_000), ready('cpu'), ready('io')], 1_000_000), null)
  assert.is(unhealthyReason([], 1_000_000), null, 'one that is to have no threads')
})

test('a pool is unhealthy when no cpu thread has taken jobs for 30 s', () => {
  const threads = [at('cpu', 'failing', 970_000), ready('io'), ready('io')]
  assert.is(unhealthyReason(threads, 1_000_000), 'no cpu thread has taken jobs for 30 s')
})

test('a pool is unhealthy when all io threads are stuck in native code for 30 s', () => {
  const stuck = at('io', 'dying', 970_000)
  const replaced = [ready('cpu'), at('io', 'retiring', 900_000)]
  assert.is(unhealthyReason(replaced, 1_000_000), null, 'its last jobs may take long')
  assert.is(unhealthyReason([ready('cpu'), ready('io'), stuck], 1_000_000), null)
  assert.is(unhealthyReason([ready('cpu'), stuck], 1_000_000), 'all io threads are stuck in native code')
})

test('a pool is unhealthy when one of its threads has not started for 30 s', () => {
  const threads = [ready('cpu'), ready('cpu'), at('io', 'starting', 970_000)]
  assert.is(unhealthyReason(threads, 1_000_000), 'a thread has not started for 30 s')
})

test('a pool is unhealthy when most threads are stuck in native code after their kill', () => {
  const stuck = at('cpu', 'dying', 998_000)
  assert.is(countZombies([stuck, at('cpu', 'dying', 998_001), ready('io')], 1_000_000), 1)
  assert.is(unhealthyReason([stuck, stuck, ready('io')], 1_000_000), '2 of 3 threads are stuck in native code')
})

test.run()
