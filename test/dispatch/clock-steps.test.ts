/** Somebody sets the system's clock while the service runs: nothing stands still, fails or comes early for it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createProcessClock } from '../../src/runtime/clock.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { until } from '../harness/until.ts'
import { startDispatchService } from './dispatch-service.ts'
import { readStats } from '../harness/run.ts'

const hourMs = 3_600_000
/** Far below any step, and far above what these jobs need on a busy machine. */
const soonMs = 20_000

for (const stepMs of [-24 * hourMs, -hourMs, hourMs, 24 * hourMs]) {
  test(`a step of ${stepMs / hourMs} h holds up nothing that waits, and brings nothing forward`, async () => {
    let setBy = 0
    const clock = createProcessClock({
      system: () => Date.now() + setBy,
      steady: () => performance.now(),
      origin: performance.timeOrigin,
    })
    await using dispatch = await startDispatchService({ ioConcurrency: 1 }, clock)
    const { service, accept, runWhen, ended } = dispatch
    const meeting = `${service.url}/clock`
    const startedAt = performance.now()
    const holder = await accept({ name: 'meets-io', input: { meeting, count: 2 } })
    await runWhen(holder, 'the only lane is taken', ({ jobs }) => jobs[0]?.state === 'running')
    const waiting = await accept({ name: 'numbered-io' })
    const delayed = await accept({ name: 'numbered-cpu', delayMs: 3_000 })
    const later = await accept({ name: 'numbered-cpu', delayMs: hourMs - 60_000 })
    setBy = stepMs
    const { runAt: before } = (await runWhen(later, 'it waits', () => true)).jobs[0] ?? {}
    await until('the clock has followed', () => Math.abs(clock.now() - Date.now() - stepMs) < 1_000)
    const stats = await readStats(service)
    assert.ok(stats.oldestQueuedMs !== null && stats.oldestQueuedMs < soonMs, `${stats.oldestQueuedMs} ms`)
    await attend({ meeting, count: 2 }, 'the test')
    for (const id of [holder, waiting, delayed]) assert.is((await ended(id)).state, 'completed')
    assert.ok(performance.now() - startedAt < soonMs)
    const moved = await runWhen(later, 'its due time has moved', ({ jobs }) => jobs[0]?.runAt !== before)
    assert.is(moved.jobs[0]?.state, 'queued', 'an hour has not passed')
    const movedMs = Date.parse(String(moved.jobs[0]?.runAt)) - Date.parse(String(before))
    assert.ok(Math.abs(movedMs - stepMs) < 1_000, `${movedMs} ms`)
    assert.is((await service.get('/readyz')).status, 200)
  })
}

test.run()
