/** A thread that has run enough jobs, or holds too much memory between jobs, is replaced without harm to its jobs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openPool, type OpenPool } from '../harness/pool.ts'

async function threadOf(opened: OpenPool, task: string): Promise<string> {
  const outcome = await opened.outcomeOf({ task, input: 'tells its thread' })
  assert.ok(outcome.ok)
  return outcome.ok ? outcome.result : ''
}

test('a thread is replaced after its maximum of jobs', async () => {
  await using opened = await openPool({ maxJobsPerThread: 3 })
  for (const task of ['misbehave-cpu', 'misbehave-io']) {
    const seen: string[] = []
    for (let job = 0; job < 7; job += 1) seen.push(await threadOf(opened, task))
    const [first, , , second, , , third] = seen
    assert.equal(seen, [first, first, first, second, second, second, third])
    assert.is(new Set(seen).size, 3)
  }
  await opened.whole()
  assert.equal(opened.pool.counts().replaced, { recycled: 4 })
})

test('a shared thread is replaced when its last job has ended, and takes none meanwhile', async () => {
  await using opened = await openPool({ maxJobsPerThread: 1 })
  const slow = await opened.start({ task: 'good-io', input: 500 })
  assert.ok((await opened.outcomeOf({ task: 'good-io', input: 1 })).ok)
  assert.equal(
    opened.pool.threads().map(({ state, running }) => [state, running]),
    [
      ['ready', 0],
      ['retiring', 1],
    ],
  )
  assert.equal(await slow.outcome, { ok: true, result: '"good"' })
  await opened.whole()
  assert.equal(opened.pool.counts().replaced, { recycled: 1 })
})

test('a thread that held too much before a job is replaced after it', async () => {
  await using opened = await openPool({ maxIdleMb: 64 })
  assert.ok((await opened.outcomeOf({ task: 'good-cpu' })).ok)
  assert.equal(opened.pool.counts().replaced, {})
  // Its module keeps 100 MiB.
  assert.ok((await opened.outcomeOf({ task: 'heavy-module' })).ok)
  await opened.whole()
  assert.equal(opened.pool.counts().replaced, { recycled: 1 })
})

test.run()
