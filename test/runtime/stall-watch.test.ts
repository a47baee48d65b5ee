import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allocateHeartbeat, createHeartbeat } from '../../src/runtime/stall-watch.ts'

test('the reader of the shared memory sees the beats and the running job', () => {
  const memory = allocateHeartbeat()
  const [main, watcher] = [createHeartbeat(memory), createHeartbeat(memory)]
  assert.equal([watcher.beats(), watcher.running()], [0, ''])
  main.beat()
  main.setRunning(['first', 'zweite Läufe', '\u{1f680}'])
  assert.equal([watcher.beats(), watcher.running()], [1, 'first, zweite Läufe, \u{1f680}'])
  main.setRunning(['last'])
  main.beat()
  assert.equal([watcher.beats(), watcher.running()], [2, 'last'])
  main.setRunning([])
  assert.is(watcher.running(), '')
})

test('if there is no room for all names, the first ones are kept, without cutting characters', () => {
  const memory = allocateHeartbeat()
  const names = Array.from({ length: 1_000 }, (_, index) => `\u{1f680}${index}`)
  createHeartbeat(memory).setRunning(names)
  const told = createHeartbeat(memory).running()
  assert.ok(told.length > 100)
  assert.ok(names.join(', ').startsWith(told))
})

test.run()
