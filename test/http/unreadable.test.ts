/** A stored result that cannot be shown makes no run unreadable, and ends nothing: its job says what is wrong. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunRecord } from '../../src/domain/run.ts'
import { viewMinimalRun, viewRun, type RunView } from '../../src/http/views/run.ts'
import { writeJson } from '../../src/domain/json.ts'
import { openEvents } from '../harness/event-client.ts'
import { startLive } from '../harness/live.ts'
import { acceptAndClaim, runOf, start } from '../harness/store-run.ts'

const deep = '['.repeat(7_000) + ']'.repeat(7_000)
const stored = [
  [deep, 'the stored result cannot be shown: it is nested more than 200 levels deep'],
  ['{"half', 'the stored result cannot be shown: SyntaxError:'],
] as const

const options = { showsStacks: false }
const shown = (run: RunRecord): RunView => JSON.parse(writeJson(viewRun(run, options))) as RunView

for (const [text, message] of stored) {
  test(`a run with a stored ${text.slice(0, 6)}… can be read, listed and watched`, async () => {
    await using live = await startLive()
    const run = runOf()
    const claim = await acceptAndClaim(live.store, run, start)
    await using watching = await openEvents(`${live.url}/runs/${run.id}/events`)
    await watching.nextRun()
    await live.store.complete(claim, text, start)

    const record = await live.store.getRun(run.id)
    if (record === null) throw new Error('it is gone')
    const [job] = shown(record).jobs
    assert.is(job?.state, 'completed')
    assert.is(job?.result, null)
    assert.is(job?.error?.code, 'invalid_result')
    assert.ok(job?.error?.message.startsWith(message), job?.error?.message)
    assert.is((JSON.parse(writeJson(viewMinimalRun(record))) as RunView).state, 'completed')
    const list = JSON.parse(writeJson({ runs: [viewRun(record, options)] })) as { runs: RunView[] }
    assert.is(list.runs[0]?.jobs[0]?.result, null)

    const [last, ...more] = await watching.rest()
    assert.equal(more, [])
    const told = last?.type === 'run' ? last.run : undefined
    assert.is(told?.state, 'completed')
    assert.is(told?.jobs[0]?.result, null)
    await using late = await openEvents(`${live.url}/runs/${run.id}/events`)
    assert.is((await late.nextRun()).state, 'completed')
  })
}

test.run()
