/** GET /runs/{id}/events: the state, each change, progress, and an end. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { openEvents, type Told } from '../harness/event-client.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'
import { exchange } from './raw.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

async function submit(service: Service, body: unknown): Promise<string> {
  return (await readRun(await service.post('/run-tasks', body))).id
}

const eventsOf = (service: Service, id: string, headers?: Record<string, string>) =>
  openEvents(`${service.url}/runs/${id}/events`, headers)
const versionsOf = (runs: readonly RunView[]) => runs.map(({ version }) => version)
const runsOf = (told: readonly Told[]) => told.flatMap((event) => (event.type === 'run' ? [event.run] : []))

test('sends the current run, each change, and ends with its final state', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/changes`, count: 2 }
  const id = await submit(service, {
    tasks: [
      { name: 'echo', input: [1] },
      { name: 'meet', input: meeting },
    ],
    tags: ['a'],
  })
  await using events = await eventsOf(service, id)
  const first = await events.nextRun()
  assert.equal(first, await readRun(await service.get(`/runs/${id}`)), 'it is the run as a GET shows it')
  assert.equal(first.result, [1])
  assert.is(first.state, 'running')
  await attend(meeting, 'the test')
  const runs = runsOf(await events.rest())
  assert.is(runs.at(-1)?.state, 'completed')
  assert.equal(runs.at(-1), await readRun(await service.get(`/runs/${id}`)))
  const versions = [first, ...runs].map(({ version }) => version)
  assert.equal(
    versions,
    [...new Set(versions)].toSorted((a, b) => a - b),
    'each version once, in growing order',
  )
})

test('has headers against buffering and caching, and the version as the id of an event', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }] })
  await using events = await eventsOf(service, id)
  const { headers } = events.response
  assert.is(headers.get('Content-Type'), 'text/event-stream; charset=utf-8')
  assert.is(headers.get('Cache-Control'), 'no-store')
  assert.is(headers.get('X-Accel-Buffering'), 'no')
  const [only, ...more] = await events.rest()
  assert.equal(more, [], 'a run that has ended is told once')
  if (only?.type !== 'run') throw new Error('it is told as a run')
  assert.is(only.id, String(only.run.version))
  const [retry, ...others] = events.others
  assert.equal(others, [])
  assert.ok(retry?.kind === 'retry' && retry.ms >= 1_000 && retry.ms <= 10_000, JSON.stringify(retry))
})

test('sends every change of many jobs, also to later clients', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/many`, count: 4 }
  const meet = { name: 'meet', input: meeting }
  const id = await submit(service, { tasks: [meet, meet, meet], respond: 'none' })
  const rounds = [1, 2, 3].map(async () => {
    await using events = await eventsOf(service, id)
    return runsOf(await events.rest())
  })
  await attend(meeting, 'the test')
  for (const runs of await Promise.all(rounds)) {
    assert.is(runs.at(-1)?.state, 'completed')
    assert.equal(
      versionsOf(runs),
      versionsOf(runs).toSorted((a, b) => a - b),
    )
  }
})

test('leaves out results above 16 KiB, and says how large they are', async () => {
  await using service = await shareService()
  // Quotes belong to the text, and é has two bytes.
  const [most, more] = ['x'.repeat(16 * 1024 - 2), `é${'x'.repeat(16 * 1024 - 3)}`]
  const tasks = [more, most, { a: 1 }].map((input) => ({ name: 'echo', input }))
  const results = [{ resultBytes: 16 * 1024 + 1 }, { result: most }, { result: { a: 1 } }]
  for (const respond of ['first', 'all']) {
    const id = await submit(service, { tasks, respond })
    await using events = await eventsOf(service, id)
    const run = runsOf(await events.rest()).at(-1)
    for (const [index, expected] of results.entries()) {
      const { result, resultBytes } = run?.jobs[index] ?? {}
      assert.equal(resultBytes === undefined ? { result } : { resultBytes }, expected)
      assert.not('result' in (run?.jobs[index] ?? {}) && resultBytes !== undefined, 'one or the other')
    }
    if (respond === 'all') {
      assert.equal(run?.results, [{ resultBytes: 16 * 1024 + 1 }, most, { a: 1 }])
      assert.not('result' in (run ?? {}))
    } else {
      assert.is(run?.resultBytes, 16 * 1024 + 1)
      assert.not('result' in (run ?? {}))
    }
    assert.is(jobAt(await readRun(await service.get(`/runs/${id}`)), 0).result, more, 'a GET has it whole')
  }
})

test('sends progress when it changes, without an id, and again for each attempt', async () => {
  await using service = await shareService()
  const meeting = `${service.url}/progress`
  const input = { meeting, steps: [[0.25], [0.25, 'a "quarter"\n✓'], [0.25, '']], succeedsAt: 2 }
  const id = await submit(service, { tasks: [{ name: 'tells', input, maxAttempts: 2 }], respond: 'none' })
  await using events = await eventsOf(service, id)
  const told: unknown[] = []
  for (const attempt of [1, 2]) {
    for (const step of [0, 1, 2]) {
      let event = await events.next()
      while (event?.type === 'run') event = await events.next()
      told.push(event?.progress)
      await attend({ meeting: `${meeting}/${attempt}/${step}`, count: 2 }, 'the test')
    }
  }
  const once = [
    { jobIndex: 0, progress: 0.25 },
    { jobIndex: 0, progress: 0.25, message: 'a "quarter"\n✓' },
    { jobIndex: 0, progress: 0.25 },
  ]
  assert.equal(told, [...once, ...once])
  assert.equal(
    (await events.rest()).filter(({ type }) => type === 'progress'),
    [],
  )
})

test('sends the progress of a first job too, whose caller may no longer wait', async () => {
  await using service = await shareService()
  const meeting = `${service.url}/first`
  const input = { meeting, steps: [[2, 'é'.repeat(100)]] }
  const early = await service.post('/run-tasks', { tasks: [{ name: 'tells', input }] }, { Prefer: 'wait=1' })
  const { id } = await readRun(early)
  await using events = await eventsOf(service, id)
  let event = await events.next()
  while (event?.type === 'run') event = await events.next()
  // As on a thread: within its bounds, and a message of 120 bytes at the most.
  assert.equal(event?.progress, { jobIndex: 0, progress: 1, message: 'é'.repeat(60) })
  const job = jobAt(await readRun(await service.get(`/runs/${id}`)), 0)
  assert.equal([job.thread, job.progress], ['main', 1])
  await attend({ meeting: `${meeting}/1/0`, count: 2 }, 'the test')
  await events.rest()
  assert.is(jobAt(await readRun(await service.get(`/runs/${id}`)), 0).progress, null)
})

test('sends a reconnecting client the current run, and nothing if it has seen the end', async () => {
  await using service = await shareService()
  const running = await submit(service, { tasks: [{ name: 'echo' }, waiting] })
  await using events = await eventsOf(service, running)
  const { version } = await events.nextRun()
  await using again = await eventsOf(service, running, { 'Last-Event-ID': String(version) })
  assert.is((await again.nextRun()).version, version)

  const ended = await submit(service, { tasks: [{ name: 'echo' }] })
  const last = (await readRun(await service.get(`/runs/${ended}`))).version
  const seen = await service.get(`/runs/${ended}/events`, { 'Last-Event-ID': String(last) })
  assert.is(seen.status, 204)
  assert.is(seen.headers.get('Cache-Control'), 'no-store')
  assert.is(await seen.text(), '')
  for (const other of [last - 1, last + 1, `0${last}`, 'x', '']) {
    await using whole = await eventsOf(service, ended, { 'Last-Event-ID': String(other) })
    assert.equal(versionsOf(runsOf(await whole.rest())), [last], String(other))
  }
})

test('refuses requests that it cannot serve', async () => {
  await using service = await shareService()
  const id = await submit(service, { tasks: [{ name: 'echo' }, waiting] })
  for (const unknown of ['00000000-0000-7000-8000-000000000000', 'x', `${id}0`]) {
    await expectProblem(await service.get(`/runs/${unknown}/events`), 'run-not-found')
  }
  for (const accept of ['application/json', 'text/html, */*;q=0', 'text/event-stream;q=0, */*', 'text/*;q=0']) {
    await expectProblem(await service.get(`/runs/${id}/events`, { Accept: accept }), 'not-acceptable')
  }
  for (const accept of ['*/*', 'text/*;q=0.1', 'application/json, text/event-stream;q=0.5']) {
    await using events = await eventsOf(service, id, { Accept: accept })
    assert.is((await events.nextRun()).id, id)
  }
  const refused = await service.post(`/runs/${id}/events`)
  await expectProblem(refused, 'method-not-allowed')
  assert.is(refused.headers.get('Allow'), 'HEAD, GET, OPTIONS')
})

test('answers HEAD with the head alone', async () => {
  await using service = await startService({ maxStreams: 0 })
  const id = await submit(service, { tasks: [{ name: 'echo' }, waiting] })
  const head = await exchange(service.url, `HEAD /runs/${id}/events`)
  assert.is(head.status, 200)
  assert.is(head.headers.get('Content-Type'), 'text/event-stream; charset=utf-8')
  assert.is(await head.text(), '')
  assert.is((await exchange(service.url, 'HEAD /runs/x/events')).status, 404)
})

test('opens as many streams as are allowed, and a new one when one is closed', async () => {
  await using service = await startService({ maxStreams: 2 })
  const id = await submit(service, { tasks: [{ name: 'echo' }, waiting] })
  await using first = await eventsOf(service, id)
  await using second = await eventsOf(service, id)
  await Promise.all([first.nextRun(), second.nextRun()])
  await expectProblem(await service.get(`/runs/${id}/events`), 'too-many-streams')
  await first[Symbol.asyncDispose]()
  await until('a place is free', async () => {
    const response = await service.get(`/runs/${id}/events`)
    await response.body?.cancel()
    return response.status === 200
  })
})

test('ends when the service leaves, and holds nothing up', async () => {
  await using service = await startService()
  const id = await submit(service, { tasks: [{ name: 'echo' }, waiting] })
  await using events = await eventsOf(service, id)
  await events.nextRun()
  await service.stop()
  const runs = runsOf(await events.rest())
  assert.is(runs.at(-1)?.jobs[1]?.state, 'queued', 'that its job was handed back is told')
})

test.run()
