/** GET /runs/{id} with Prefer: wait=N and If-None-Match: an answer at the next version, or after N seconds. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { openEvents } from '../harness/event-client.ts'
import { startLive } from '../harness/live.ts'
import { readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { acceptAndClaim, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }
// What is answered at once is so long before this is over, however slow the machine.
const long = 'wait=50'

async function begin(service: Service, body: unknown): Promise<{ readonly path: string; readonly etag: string }> {
  const { id } = await readRun(await service.post('/run-tasks', body))
  const path = `/runs/${id}`
  return { path, etag: (await service.get(path)).headers.get('ETag') ?? '' }
}

const poll = (service: Service, path: string, etag: string, prefer: string) =>
  service.get(path, { 'If-None-Match': etag, Prefer: prefer })

test('answers with the next version as soon as there is one', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/next`, count: 2 }
  const { path } = await begin(service, { tasks: [{ name: 'echo' }, { name: 'meet', input: meeting }] })
  // Only its end is left to change.
  const etag = `W/"${(await running(service, path, 1)).version}"`
  const polls = ['wait=50', 'respond-async, WAIT = "50"', long].map((prefer) => poll(service, path, etag, prefer))
  // What was asked before these has been read, too, even by one of several connections to a database.
  for (let read = 0; read < polls.length; read += 1) await service.get(path)
  await attend(meeting, 'the test')
  for (const response of await Promise.all(polls)) {
    assert.is(response.status, 200)
    assert.is(response.headers.get('Preference-Applied'), long)
    const run = await readRun(response)
    assert.is(run.state, 'completed')
    assert.is(response.headers.get('ETag'), `W/"${run.version}"`)
    assert.not(response.headers.has('Retry-After'))
  }
})

/** The run when so many of its jobs are running, and each change leads there. */
async function running(service: Service, path: string, count: number): Promise<RunView> {
  for (let etag = '"0"'; ;) {
    const response = await poll(service, path, etag, long)
    etag = response.headers.get('ETag') ?? ''
    const run = await readRun(response)
    if (run.jobs.filter(({ state }) => state === 'running').length === count) return run
  }
}

test('answers 304 when the time is over, and says how long it has waited', async () => {
  await using service = await shareService()
  const { path, etag } = await begin(service, { tasks: [{ name: 'echo' }] })
  for (const [prefer, applied] of [
    ['wait=1', 'wait=1'],
    ['wait=0', 'wait=0'],
  ] as const) {
    const startedAt = performance.now()
    const response = await poll(service, path, `"other", ${etag}`, prefer)
    assert.is(response.status, 304)
    assert.is(response.headers.get('Preference-Applied'), applied)
    assert.is(response.headers.get('ETag'), etag)
    assert.ok(performance.now() - startedAt >= Number(applied.slice(5)) * 1_000 - 5)
  }
})

test('does not find a run that was deleted while it waited', async () => {
  await using service = await shareService()
  const { path, etag } = await begin(service, { tasks: [{ name: 'echo' }] })
  const polling = poll(service, path, etag, 'wait=1')
  assert.is((await service.fetch(path, { method: 'DELETE' })).status, 204)
  await expectProblem(await polling, 'run-not-found')
})

test('does not wait for a run that has ended', async () => {
  await using service = await shareService()
  const { path, etag } = await begin(service, { tasks: [{ name: 'echo' }, waiting] })
  const cases: [Record<string, string>, number][] = [
    [{ Prefer: long }, 200],
    [{ Prefer: long, 'If-None-Match': '"0"' }, 200],
    [{ Prefer: long, 'If-None-Match': 'nonsense' }, 200],
    [{ Prefer: long, 'If-None-Match': '*' }, 304],
    [{ Prefer: 'wait=soon', 'If-None-Match': etag }, 304],
    [{ Prefer: 'respond-async', 'If-None-Match': etag }, 304],
    [{ 'If-None-Match': etag }, 304],
  ]
  for (const [headers, status] of cases) {
    const response = await service.get(path, headers)
    assert.is(response.status, status, JSON.stringify(headers))
    assert.not(response.headers.has('Preference-Applied'))
  }
  for (const id of ['00000000-0000-7000-8000-000000000000', 'x']) {
    await expectProblem(await poll(service, `/runs/${id}`, etag, long), 'run-not-found')
  }
})

test('waits beyond every version that the client names', async () => {
  await using service = await shareService()
  const [one, two] = ['one', 'two'].map((name) => ({ meeting: `${service.url}/${name}`, count: 2 }))
  if (one === undefined || two === undefined) return
  const tasks = [{ name: 'echo' }, { name: 'meet', input: one }, { name: 'meet', input: two }]
  const { path } = await begin(service, { tasks })
  const run = await running(service, path, 2)
  const polling = poll(service, path, `"${run.version}", "${run.version + 1}"`, long)
  await attend(one, 'the test')
  const between = await poll(service, path, `"${run.version}"`, long)
  assert.is((await readRun(between)).version, run.version + 1)
  await attend(two, 'the test')
  const response = await polling
  assert.is(response.status, 200)
  assert.is((await readRun(response)).version, run.version + 2)
})

test('ends all waits when the service stops, and starts no new ones', async () => {
  await using service = await startService()
  const { path, etag } = await begin(service, { tasks: [{ name: 'echo' }] })
  const polls = [1, 2, 3].map(() => poll(service, path, etag, long))
  const startedAt = performance.now()
  await service.app.drain()
  for (const response of await Promise.all(polls)) assert.is(response.status, 304)
  assert.is((await poll(service, path, etag, long)).status, 304)
  await service.stop()
  assert.ok(performance.now() - startedAt < 40_000)
})

test('all waiting clients get a response at once when they are dismissed', async () => {
  await using live = await startLive()
  const run = runOf()
  await acceptAndClaim(live.store, run, start)
  const polls = [1, 2, 3].map(() => fetch(`${live.url}/runs/${run.id}/versions/2`))
  await until('they are there', () => live.polls.size() === 3)
  // Who comes later is shown the run later: they have seen it and wait.
  await using later = await openEvents(`${live.url}/runs/${run.id}/events`)
  await later.nextRun()
  live.polls.dismiss()
  for (const response of await Promise.all(polls)) assert.equal(await response.json(), { version: 2 })
  assert.is(live.polls.size(), 0)
  assert.is(live.feed.size(), 1, 'that of the stream')
})

test.run()
