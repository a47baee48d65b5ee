/** Native calls that do not return and hold all of libuv's threads are noticed, and so is their end. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempDisposableSync, openSync, readFile } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createNativeWatch } from '../../src/limits/system-limits.ts'
import { createLog, type Log } from '../../src/log.ts'
import { until } from '../harness/until.ts'

const libuvThreads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4)

test('native calls that hold all threads are logged with the tasks that ran out of time, until one returns', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'forerunner-'))
  const path = join(place.path, 'pipe')
  execFileSync('mkfifo', [path])
  const lines: unknown[] = []
  const log: Log = Object.assign(createLog('silent'), { error: (fields: unknown) => void lines.push(fields) })
  const watch = createNativeWatch({ stuckAfterMs: 200, log })
  watch.start()
  watch.noteTimeout('reads-a-pipe')
  await new Promise((resolve) => readFile(import.meta.filename, resolve))
  assert.is(watch.stuckMs(), 0)

  // Each waits for somebody to open the other end.
  for (let call = 0; call < libuvThreads; call += 1) readFile(path, () => {})
  await until('it is noticed', () => watch.stuckMs() > 0)
  assert.equal(lines, [{ timedOut: ['reads-a-pipe'] }])
  closeSync(openSync(path, 'w'))
  await until('they work again', () => watch.stuckMs() === 0)
  watch.stop()
  assert.is(lines.length, 1)
})

test.run()
