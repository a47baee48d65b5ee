/** Progress and log lines of jobs on threads arrive in order, and are not lost with the thread. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

test('the last progress of a task is visible while it runs, on both kinds and even in an endless loop', async () => {
  await using opened = await openPool()
  for (const task of ['tells-cpu', 'tells-io']) {
    const running = await opened.start({ task, timeoutMs: 60_000 })
    const told = await until('it has told', () => {
      const progress = running.progress()
      return progress?.fraction === 0.5 && progress
    })
    assert.is(told.message, 'halfway ✓')
    running.release()
    await running.outcome
  }
})

test('the progress of a slot is empty at the start of each job', async () => {
  await using opened = await openPool()
  const first = await opened.start({ task: 'tells-cpu', timeoutMs: 60_000 })
  await until('it has told', () => first.progress() !== null)
  first.release()
  await first.outcome
  const next = await opened.start({ task: 'misbehave-cpu', input: 'heeds the signal', timeoutMs: 60_000 })
  assert.is(next.progress(), null)
  next.release()
  await next.outcome
})

test('log lines keep their order and their ids, and the last ones survive a kill', async () => {
  const lines: string[] = []
  const note = (fields: unknown, text: unknown) => void lines.push(`${String(text)} ${JSON.stringify(fields)}`)
  const log: Log = Object.assign(createLog('silent'), { info: note })
  await using opened = await openPool({}, log)
  const outcome = await opened.outcomeOf({ task: 'logs-and-loops', timeoutMs: 200 })
  assert.is(!outcome.ok && outcome.error.code, 'timeout')
  await opened.whole()
  const told = lines.filter((line) => line.startsWith('line '))
  assert.is(told.length, 100)
  const ids = '"runId":"run-1","jobIndex":0,"attempt":1,"task":"logs-and-loops"'
  for (const [index, line] of told.entries()) assert.is(line, `line ${index} {${ids},"fields":{"index":${index}}}`)
})

test('messages of a task on the port of its thread are dropped, and closing the port has no effect', async () => {
  const lines: string[] = []
  const log: Log = Object.assign(createLog('silent'), { info: (_: unknown, text: unknown) => lines.push(String(text)) })
  await using opened = await openPool({}, log)
  for (const input of ['floods with messages', 'closes its port']) {
    assert.equal(await opened.outcomeOf({ task: 'misbehave-cpu', input }), { ok: true, result: '"done"' })
  }
  await opened.outcomeOf({ task: 'logs-and-loops', timeoutMs: 200 })
  await opened.whole()
  assert.not.ok(lines.includes('forged'))
  assert.is(lines.filter((line) => line.startsWith('line ')).length, 100)
})

test.run()
