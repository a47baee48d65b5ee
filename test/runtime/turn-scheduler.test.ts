import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createTurnScheduler } from '../../src/runtime/event-loop.ts'

test('work is done in order, a few pieces in each turn', async () => {
  const turns = createTurnScheduler(3)
  const done: number[] = []
  for (let piece = 0; piece < 8; piece += 1) turns.run(() => void done.push(piece))
  assert.equal(done, [0, 1, 2])
  await turn()
  assert.ok(done.length >= 3 && done.length <= 6)
  while (done.length < 8) await turn()
  assert.equal(done, [0, 1, 2, 3, 4, 5, 6, 7])
})

test('later work is queued after waiting work', async () => {
  const turns = createTurnScheduler(1)
  const done: string[] = []
  turns.run(() => {
    done.push('first')
    turns.run(() => void done.push('third'))
  })
  turns.run(() => void done.push('fourth'))
  assert.equal(done, ['first'])
  while (done.length < 3) await turn()
  turns.run(() => void done.push('last'))
  while (done.length < 4) await turn()
  assert.equal(done, ['first', 'third', 'fourth', 'last'])
})

test.run()
