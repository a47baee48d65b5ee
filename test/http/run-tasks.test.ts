/** POST /run-tasks answers with the first result, and says in its headers what it did. */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { jobAt, listRuns, readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { chunked, exchange, open } from './raw.ts'

const recipe = fileURLToPath(new URL('../fixtures/tasks/recipe/', import.meta.url))
const json = { 'Content-Type': 'application/json' }

test('answers with the first result while the others run', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', {
    tasks: [
      { name: 'echo', input: { a: 1 } },
      { name: 'wait', input: { ms: 60_000 } },
    ],
    tags: ['x'],
  })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.equal(run.result, { a: 1 })
  assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
  assert.is(run.state, 'running')
  assert.is(jobAt(run, 0).thread, 'main')
})

test('runs first, second and third when the body is empty, however it is sent', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const requests = {
    'no body': exchange(service.url, 'POST /run-tasks'),
    'no body, declared as JSON': exchange(service.url, 'POST /run-tasks', json),
    'a length of 0': exchange(service.url, 'POST /run-tasks', { 'Content-Length': '0' }),
    'no body, declared as text': exchange(service.url, 'POST /run-tasks', { 'Content-Type': 'text/plain' }),
    'no chunk': exchange(service.url, 'POST /run-tasks', { 'Transfer-Encoding': 'chunked' }, chunked('')),
    'no chunk, JSON': exchange(
      service.url,
      'POST /run-tasks',
      { ...json, 'Transfer-Encoding': 'chunked' },
      chunked(''),
    ),
    'fetch without a body': service.post('/run-tasks'),
    '{}': service.post('/run-tasks', {}),
    '{} in a chunk': exchange(
      service.url,
      'POST /run-tasks',
      { ...json, 'Transfer-Encoding': 'chunked' },
      chunked('{}'),
    ),
  }
  for (const [sent, request] of Object.entries(requests)) {
    const response = await request
    assert.is(response.status, 200, sent)
    const run = await readRun(response)
    assert.is(run.result, 'First result', sent)
    assert.equal(
      run.jobs.map(({ task }) => task),
      ['first', 'second', 'third'],
      sent,
    )
  }
})

test('runs first, second and third if only other members are given', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const response = await service.post('/run-tasks', { respond: 'all', tags: ['a', 'b'] })
  const run = await readRun(response)
  assert.equal(run.results, ['First result', 'Second result', 'Third result'])
  assert.equal(run.tags, ['a', 'b'])
})

test('returns the address of the run, timings, and that the response must not be cached', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'echo' }] })
  const { id } = await readRun(response)
  assert.is(response.headers.get('Content-Type'), 'application/json; charset=utf-8')
  assert.is(response.headers.get('Content-Location'), `/runs/${id}`)
  assert.is(response.headers.get('Link'), `</runs/${id}>; rel="monitor"`)
  assert.match(response.headers.get('Server-Timing') ?? '', /^commit;dur=\d+\.\d, first;dur=\d+\.\d$/)
  assert.is(response.headers.get('Cache-Control'), 'no-store')
  assert.not(response.headers.has('Location'))
  assert.not(response.headers.has('Retry-After'))
})

test('shows undefined as null, and an absent input as undefined', async () => {
  await using service = await shareService()
  const run = await readRun(
    await service.post('/run-tasks', { respond: 'all', tasks: [{ name: 'nothing' }, { name: 'echo' }] }),
  )
  assert.equal(run.results, [null, null])
})

test('keeps every JSON value that is an input, members named __proto__ included', async () => {
  await using service = await shareService()
  const inputs = ['null', '0', '-1.5e-7', '""', '"ü\\u0000\\ud800"', '[]', '{"":{"a/b":[null]}}', 'false']
  const hostile = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'
  for (const input of [...inputs, hostile]) {
    const tasks = `[{"name":"echo","input":${input}},{"name":"echo","input":${input}}]`
    const response = await service.post('/run-tasks', `{"respond":"all","tasks":${tasks}}`)
    assert.is(response.status, 200, input)
    const { results } = await readRun(response)
    assert.is(JSON.stringify(results), JSON.stringify([JSON.parse(input), JSON.parse(input)]), input)
  }
  assert.is(Reflect.get({}, 'polluted'), undefined)
})

test("gives the first job one attempt and the others their task's policy, unless the request says otherwise", async () => {
  await using service = await shareService()
  const wait = { name: 'wait', input: { ms: 60_000 }, delayMs: 60_000 }
  const run = await readRun(
    await service.post('/run-tasks', {
      respond: 'none',
      tasks: [wait, wait, { ...wait, maxAttempts: 7 }, { name: 'echo', delayMs: 60_000 }],
    }),
  )
  assert.equal(
    run.jobs.map(({ maxAttempts }) => maxAttempts),
    [1, 3, 7, 1],
  )
  const other = await readRun(
    await service.post('/run-tasks', { respond: 'none', tasks: [{ ...wait, maxAttempts: 5 }] }),
  )
  assert.is(jobAt(other, 0).maxAttempts, 5)
})

test('lets a delayed job wait until it is due', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'echo' }, { name: 'echo', delayMs: 31_536_000_000 }]
  const run = await readRun(await service.post('/run-tasks', { tasks }))
  const { state, runAt, queuedAt, thread, attempt } = jobAt(run, 1)
  assert.equal({ state, thread, attempt }, { state: 'queued', thread: null, attempt: 0 })
  assert.is(Date.parse(runAt ?? ''), Date.parse(queuedAt) + 31_536_000_000)
})

test('continues the run when its client disconnects', async () => {
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/disconnect`, count: 3 }
  const tasks = [1, 2].map(() => ({ name: 'meet', input: meeting }))
  const body = JSON.stringify({ tasks })
  const socket = open(service.url)
  const isGone = once(socket, 'close')
  socket.write('POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n')
  socket.write(`Content-Length: ${body.length}\r\n\r\n${body}`)
  const { id } = await until('the run is there', async () => {
    const runs = await listRuns(service)
    return runs[0]
  })
  socket.destroy()
  await isGone
  assert.is(await attend(meeting, 'the test'), 3)
  const run = await until('the run has ended', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return now.state !== 'running' && now
  })
  assert.is(run.state, 'completed')
  assert.is(run.result, 3)
  assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
})

test.run()
