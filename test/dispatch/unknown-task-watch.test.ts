/** The warning about jobs of tasks that no process runs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createUnknownTaskWatch } from '../../src/dispatch/periodic.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/log.ts'
import type { StoreStats } from '../../src/store/totals.ts'
import { until } from '../harness/until.ts'

test('each task is warned of once, and again when its jobs wait again', async () => {
  const warned: unknown[] = []
  const log = createLog('silent')
  log.warn = (fields: object) => void warned.push(fields)
  const rounds: Record<string, number>[] = [{}, { one: 1 }, { one: 5 }, { one: 5, two: 1 }, {}, { one: 2 }]
  let looks = 0
  const stats = async (): Promise<StoreStats> => {
    const unknownTasks = rounds[looks] ?? { one: 2 }
    looks += 1
    return { unknownTasks } as unknown as StoreStats
  }
  const watch = createUnknownTaskWatch({ store: { stats }, clock: systemClock, log, pauseMs: 1 })
  watch.start()
  await until('all rounds are over', () => looks > rounds.length + 2)
  await watch.stop()
  assert.equal(warned, [
    { unknownTasks: { one: 1 } },
    { unknownTasks: { one: 5, two: 1 } },
    { unknownTasks: { one: 2 } },
  ])
})

test.run()
