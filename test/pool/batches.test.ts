/** A `cpu` thread gets several quick jobs at a time, and no job pays for those before it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AttemptOutcome } from '../../src/domain/claim.ts'
import type { Attempt } from '../../src/execution/executor.ts'
import { openPool, type Ask, type OpenPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

const roomOf = ({ pool }: OpenPool, thread: string): number =>
  pool.freeSlots().find((slot) => slot.thread === thread)?.count ?? 0

/** Starts jobs in one turn on the first thread, after quick jobs that made room for them. */
async function startTogether(opened: OpenPool, asks: readonly Ask[]): Promise<Attempt[]> {
  await until('there is room for all', async () => {
    await opened.outcomeOf({ task: 'good-cpu', thread: 'worker-1' })
    return roomOf(opened, 'worker-1') >= asks.length
  })
  return asks.map((ask) => opened.tryStart({ ...ask, thread: 'worker-1' })).filter((started) => started !== undefined)
}

const outcomesOf = (executions: readonly Attempt[]): Promise<AttemptOutcome[]> =>
  Promise.all(executions.map(({ outcome }) => outcome))

const good = { ok: true, result: '"good"' }

test('a thread has room for one job until its jobs prove quick', async () => {
  await using opened = await openPool({ threads: 2 })
  assert.is(roomOf(opened, 'worker-1'), 1)
  const outcomes = await outcomesOf(
    await startTogether(
      opened,
      [1, 2, 3, 4, 5].map((input) => ({ task: 'good-cpu', input })),
    ),
  )
  assert.equal(
    outcomes,
    [1, 2, 3, 4, 5].map((input) => ({ ok: true, result: String(input) })),
  )
  assert.is(roomOf(opened, 'worker-2'), 1)
})

test('jobs after a slow one are handed back while it goes on, and the thread has room for one again', async () => {
  await using opened = await openPool({ cancelGraceMs: 10_000 })
  const [slow, ...others] = await startTogether(opened, [
    { task: 'misbehave-cpu', input: 'polls the signal' },
    { task: 'good-cpu' },
    { task: 'good-cpu' },
  ])
  assert.equal(await outcomesOf(others), ['released', 'released'])
  assert.is(roomOf(opened, 'worker-1'), 0)
  slow?.cancel()
  await slow?.outcome
  await until('it has room for one', () => roomOf(opened, 'worker-1') === 1)
  assert.equal(opened.pool.counts(), { replaced: {}, zombies: 0 })
})

test('a slot that becomes free after the last outcome is announced, so that a job is claimed for it', async () => {
  await using opened = await openPool({ cancelGraceMs: 10_000 })
  for (let round = 0; round < 5; round += 1) {
    const [slow, ...others] = await startTogether(opened, [
      { task: 'misbehave-cpu', input: 'polls the signal' },
      { task: 'good-cpu' },
      { task: 'good-cpu' },
    ])
    await outcomesOf(others)
    let lastSeen = 0
    const look = (): void => void (lastSeen = roomOf(opened, 'worker-1'))
    opened.pool.onCapacity(look)
    slow?.cancel()
    await slow?.outcome
    look()
    await until('it has room for one', () => roomOf(opened, 'worker-1') === 1)
    assert.is(lastSeen, 1)
  }
})

test('a job that is cancelled or released before its thread begins it ends at once and costs no thread', async () => {
  await using opened = await openPool({ cancelGraceMs: 10_000 })
  const [slow, cancelled, released] = await startTogether(opened, [
    { task: 'misbehave-cpu', input: 'polls the signal' },
    { task: 'misbehave-cpu', input: 'endless loop' },
    { task: 'misbehave-cpu', input: 'endless loop' },
  ])
  cancelled?.cancel()
  released?.release()
  const [told, handedBack] = await outcomesOf([cancelled, released].filter((execution) => execution !== undefined))
  assert.is(Reflect.get(Object(Reflect.get(Object(told), 'error')), 'code'), 'cancelled')
  assert.is(handedBack, 'released')
  slow?.cancel()
  await slow?.outcome
  await opened.whole()
  assert.equal(opened.pool.counts(), { replaced: {}, zombies: 0 })
})

test('jobs that ended before an endless one keep their results, and the thread is replaced', async () => {
  await using opened = await openPool()
  const [before, bad, behind] = await outcomesOf(
    await startTogether(opened, [
      { task: 'good-cpu' },
      { task: 'misbehave-cpu', input: 'endless promise', timeoutMs: 100 },
      { task: 'good-cpu' },
    ]),
  )
  assert.equal(before, good)
  assert.is(Reflect.get(Object(Reflect.get(Object(bad), 'error')), 'code'), 'timeout')
  assert.is(behind, 'released')
  await opened.whole()
})

for (const [how, code] of Object.entries({
  'throws in a timer': 'crashed',
  'exits with 3': 'crashed',
  'endless loop': 'timeout',
  'patches prototypes': null,
})) {
  test(`${how}: the job before it keeps its result or is handed back, the job after it is handed back`, async () => {
    await using opened = await openPool()
    const [before, bad, behind] = await outcomesOf(
      await startTogether(opened, [
        { task: 'good-cpu' },
        { task: 'misbehave-cpu', input: how, timeoutMs: 100 },
        { task: 'good-cpu' },
      ]),
    )
    if (before !== 'released') assert.equal(before, good)
    if (code !== null) assert.is(Reflect.get(Object(Reflect.get(Object(bad), 'error')), 'code'), code)
    assert.is(behind, 'released')
    await opened.whole()
    assert.equal((await opened.outcomeOf({ task: 'good-cpu' })).ok, true)
  })
}

test.run()
