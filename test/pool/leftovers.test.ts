/** A job or its module can leave things on a thread, which neither harm nor confuse the next job there. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'

const done = { ok: true, result: '"done"' }

test('progress that an ended job still reports is not shown for the next job', async () => {
  await using opened = await openPool()
  assert.equal(await opened.outcomeOf({ task: 'leaves-behind', input: 'progress' }), done)
  const next = await opened.start({ task: 'misbehave-cpu', input: 'waits a little' })
  const seen: unknown[] = []
  const looking = setInterval(() => seen.push(next.progress()), 1)
  await next.outcome
  clearInterval(looking)
  assert.ok(seen.length > 0)
  assert.equal(new Set(seen), new Set([null]))
})

test('a thread whose built-ins were changed between two jobs keeps all its slots', async () => {
  await using opened = await openPool()
  assert.equal(await opened.outcomeOf({ task: 'leaves-behind', input: 'no race' }), done)
  // Each of these runs, or fails, or is handed back; what counts is that there is always a thread for the next.
  for (let job = 0; job < 5; job += 1) {
    const { outcome } = await opened.start({ task: 'misbehave-cpu', input: 'waits a little' })
    await outcome
  }
  await opened.whole()
  assert.equal(await opened.outcomeOf({ task: 'good-cpu' }), { ok: true, result: '"good"' })
})

test('code of an ended job that ends the thread is logged, and the next job keeps its attempt', async () => {
  const lines: unknown[] = []
  const log: Log = Object.assign(createLog('silent'), { warn: (...line: unknown[]) => void lines.push(line) })
  await using opened = await openPool({}, log)
  assert.equal(await opened.outcomeOf({ task: 'leaves-behind', input: 'exit' }), done)
  const next = await opened.start({ task: 'misbehave-cpu', input: 'endless promise', timeoutMs: 60_000 })
  assert.is(await next.outcome, 'released')
  await opened.whole()
  assert.equal(lines, [
    [{ runId: 'run-1', jobIndex: 0, attempt: 1, task: 'leaves-behind' }, 'a job that had ended ends its thread'],
  ])
})

test('memory that a module holds does not count for the job that loads it', async () => {
  await using opened = await openPool()
  assert.equal(await opened.outcomeOf({ task: 'heavy-module' }), { ok: true, result: 'true' })
})

test('the lines of a job that logs without end are limited, and its thread is replaced in time', async () => {
  let lines = 0
  let longest = 0
  const note = (_fields: unknown, text: unknown): void => {
    lines += 1
    longest = Math.max(longest, String(text).length)
  }
  const log: Log = Object.assign(createLog('silent'), { info: note })
  await using opened = await openPool({}, log)
  const startedAt = performance.now()
  const outcome = await opened.outcomeOf({ task: 'logs-forever', timeoutMs: 300 })
  assert.is(!outcome.ok && outcome.error.code, 'timeout')
  await opened.whole()
  assert.ok(lines > 0 && longest <= 4_097)
  // A thousand in each second that its life touched, and no more; without the limit it is many times that.
  const seconds = Math.ceil((performance.now() - startedAt) / 1_000) + 1
  assert.ok(lines <= seconds * 1_000 + 1, `${lines} lines in ${seconds} s`)
})

test.run()
