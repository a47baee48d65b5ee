/** Lines of tasks go to the store in batches, and what is too much is dropped and counted. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLineKeeper } from '../../src/dispatch/line-keeper.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { maxLineBytesPerRun, maxLinesPerRun, type LineChunk, type LoggedLine } from '../../src/domain/task-history.ts'
import { createLog, type Log } from '../../src/log.ts'

const runId = newRunId(0)
const ids = { runId, jobIndex: 0, attempt: 1, task: 'logs' }

function open(keep: (chunks: readonly LineChunk[]) => Promise<void> = async () => {}) {
  const calls: (readonly LineChunk[])[] = []
  const warnings: unknown[] = []
  const log: Log = Object.assign(createLog('info'), {
    warn: (fields: unknown) => void warnings.push(fields),
    debug() {},
  })
  const keepLines = async (chunks: readonly LineChunk[]): Promise<void> => {
    calls.push(chunks)
    await keep(chunks)
  }
  const keeper = createLineKeeper({ store: { keepLines }, clock: { now: () => 5 }, log, logRetentionMs: 1 })
  const note = (message: string, fields: object = ids, level: LoggedLine['level'] = 'info'): void =>
    keeper.note({ level, message, fields })
  const kept = (): LoggedLine[] => calls.flat().flatMap(({ text }) => JSON.parse(text) as LoggedLine[])
  return { calls, warnings, keeper, note, kept }
}

test('lines of one run go there together, and only its last ones; the others are counted', async () => {
  const { calls, warnings, keeper, note, kept } = open()
  for (let index = 0; index < maxLinesPerRun + 2; index += 1) note(`line ${index}`)
  note('of another', { ...ids, runId: newRunId(1) })
  await keeper.flush()
  assert.is(calls.length, 1)
  assert.equal(
    calls[0]?.map(({ lines }) => lines),
    [maxLinesPerRun, 1],
  )
  assert.equal(kept()[0], { at: 5, level: 'info', jobIndex: 0, attempt: 1, message: 'line 2' })
  assert.equal(warnings, [{ lines: 2 }])
  await keeper.flush()
  assert.is(calls.length, 1, 'without lines the store is not asked')
})

test('lines without a run, invalid lines and lines below the level are not kept', async () => {
  const { keeper, note, kept } = open()
  note('of a thread', {})
  note('of no run', { ...ids, runId: 'none' })
  note('of no job', { ...ids, jobIndex: '0' })
  note('no JSON', { ...ids, fields: 1n })
  note('too low', ids, 'debug')
  note('kept', { ...ids, error: { message: 'a', stack: 'b', cause: { message: 'c', stack: 'd' } } })
  await keeper.flush()
  assert.equal(
    kept().map(({ message, error }) => [message, error]),
    [['kept', { message: 'a', cause: { message: 'c' } }]],
  )
})

test('the queue of lines and each batch are bounded', async () => {
  const { calls, warnings, keeper, note, kept } = open()
  const megabyte = 'x'.repeat(1_000_000)
  for (let index = 0; index < 12; index += 1) note(megabyte, { ...ids, runId: newRunId(index) })
  await keeper.flush()
  assert.equal([calls.length, kept().length], [8, 8])
  assert.equal(warnings, [{ lines: 4 }])
})

test('bytes are those of UTF-8, and a line longer than all that is kept of a run replaces no other', async () => {
  const { calls, warnings, keeper, note, kept } = open()
  const fill = '€'.repeat(maxLineBytesPerRun / 4)
  for (const message of ['short', fill, fill, `${fill}${fill}`]) note(message)
  await keeper.flush()
  assert.equal(
    kept().map(({ message }) => message === fill),
    [true],
  )
  assert.ok(calls.flat().every(({ text }) => Buffer.byteLength(text) <= maxLineBytesPerRun))
  assert.equal(warnings, [{ lines: 3 }])
})

test('lines that the store refuses are counted, and later ones are kept', async () => {
  let isDown = true
  const { warnings, keeper, note, calls } = open(async () => {
    if (isDown) throw new Error('down')
  })
  note('lost')
  await keeper.flush()
  isDown = false
  note('kept')
  await keeper.flush()
  assert.equal(warnings, [{ lines: 1 }])
  assert.is(calls.length, 2)
})

test.run()
