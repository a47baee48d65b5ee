/** The routes of schedules: put, shown, paused, resumed, run and removed, and what is refused. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ScheduleListView, ScheduleView } from '../../src/http/views/schedule.ts'
import { fileURLToPath } from 'node:url'
import { readProblem, readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'

const echo = { tasks: [{ name: 'echo', input: 1 }] }
const nightly = { cron: '0 3 * * *', timeZone: 'Europe/Berlin', request: echo }

function put(service: Service, name: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const json = { 'Content-Type': 'application/json', ...headers }
  return service.fetch(`/schedules/${name}`, { method: 'PUT', headers: json, body: JSON.stringify(body) })
}

async function read(answer: Response | Promise<Response>, status = 200): Promise<ScheduleView> {
  const response = await answer
  assert.is(response.status, status)
  return (await response.json()) as ScheduleView
}

test('a schedule is put, replaced, shown, listed and removed', async () => {
  await using service = await startService()
  const made = await put(service, 'nightly', nightly)
  assert.is(made.headers.get('Location'), '/schedules/nightly')
  const view = await read(made, 201)
  const { nextAt, ...rest } = view
  assert.equal(rest, {
    name: 'nightly',
    cron: '0 3 * * *',
    timeZone: 'Europe/Berlin',
    request: { ...echo, respond: 'none', onFirstFailure: 'continue', tags: [] },
    missed: 'one',
    paused: false,
    declared: false,
    lastAt: null,
    lastRunId: null,
    problem: null,
    links: {
      self: '/schedules/nightly',
      runs: '/runs?tag=schedule%3Anightly',
      run: '/schedules/nightly/run',
      pause: '/schedules/nightly/pause',
      resume: '/schedules/nightly/resume',
    },
  })
  const shown = new Date(nextAt ?? '').toLocaleTimeString('de', { timeZone: 'Europe/Berlin' })
  assert.is(shown, '03:00:00')
  assert.equal(await read(service.get('/schedules/nightly')), view)

  const changed = { cron: '*/5 * * * * *', request: echo, missed: 'skip', paused: true }
  const other = await read(put(service, 'nightly', changed))
  assert.equal(
    [other.cron, other.timeZone, other.missed, other.paused, other.nextAt],
    ['*/5 * * * * *', 'UTC', 'skip', true, null],
  )
  await read(put(service, 'A_1', nightly), 201)
  const { schedules } = (await (await service.get('/schedules')).json()) as ScheduleListView
  assert.equal(
    schedules.map(({ name }) => name),
    ['A_1', 'nightly'],
  )
  assert.is((await service.fetch('/schedules/nightly', { method: 'DELETE' })).status, 204)
  await expectProblem(await service.fetch('/schedules/nightly', { method: 'DELETE' }), 'schedule-not-found')
  await expectProblem(await service.get('/schedules/nightly'), 'schedule-not-found')
})

test('a list of large schedules is answered as a small one is', async () => {
  await using service = await startService()
  const request = { tasks: [{ name: 'echo', input: 'x'.repeat(60_000) }] }
  for (const name of ['a', 'b', 'c']) await read(put(service, name, { ...nightly, request }), 201)
  const response = await service.get('/schedules')
  assert.is(response.status, 200)
  assert.is(((await response.json()) as ScheduleListView).schedules.length, 3)
  assert.is((await service.fetch('/schedules', { method: 'HEAD' })).status, 200)
})

test('a schedule is run at once, which is no tick, paused and resumed', async () => {
  await using service = await startService()
  const name = 'n'.repeat(64)
  const tags = Array.from({ length: 16 }, (_, index) => String(index))
  const before = await read(put(service, name, { ...nightly, request: { ...echo, tags } }), 201)
  const response = await service.post(`/schedules/${name}/run`)
  assert.is(response.status, 202)
  const run = await readRun(response)
  assert.is(response.headers.get('Location'), `/runs/${run.id}`)
  assert.equal(run.tags, [...tags, `schedule:${name}`])
  const listed = (await (await service.get(before.links.runs)).json()) as { runs: { id: string }[] }
  assert.equal(
    listed.runs.map(({ id }) => id),
    [run.id],
  )
  assert.equal(await read(service.get(`/schedules/${name}`)), before)

  const paused = await read(service.post(`/schedules/${name}/pause`))
  assert.equal(paused, { ...before, paused: true, nextAt: null })
  assert.equal(await read(service.post(`/schedules/${name}/pause`)), paused)
  assert.is((await service.post(`/schedules/${name}/run`)).status, 202)
  assert.equal(await read(service.post(`/schedules/${name}/resume`)), before)
})

test('errors of a schedule are named', async () => {
  await using service = await startService({ maxTasksPerRun: 2 })
  async function refused(body: unknown, pointers: readonly string[], name = 'x'): Promise<void> {
    const response = await put(service, name, body)
    assert.equal(pointersOf(await expectProblem(response, 'validation-error')), pointers, JSON.stringify(body))
  }
  await refused({}, ['/cron', '/request'])
  await refused([], [''])
  await refused({ ...nightly, cron: 1, timeZone: '', missed: 'some', paused: 'no' }, [
    '/cron',
    '/timeZone',
    '/missed',
    '/paused',
  ])
  await refused({ ...nightly, name: 'x', nextAt: null }, ['/name', '/nextAt'])
  await refused({ ...nightly, request: { ...echo, respond: 'first' } }, ['/request/respond'])
  await refused({ ...nightly, request: { tasks: [{ name: 'echo', priority: 10 }] } }, ['/request/tasks/0/priority'])
  await refused({ ...nightly, request: { ...echo, extra: 1 } }, ['/request/extra'])
  await refused({ ...nightly, request: { tasks: [{ name: 'sum', input: 'x' }] } }, ['/request/tasks/0/input'])
  await refused({ ...nightly, request: { tasks: [{ name: 'echo', input: 'x'.repeat(70_000) }] } }, ['/request'])
  for (const cron of ['@daily', '* * * *', '* * * * * * *', '61 * * * *', '0 0 30 2 *', '2030-01-01', '   ']) {
    await refused({ ...nightly, cron }, ['/cron'])
  }
  for (const timeZone of ['Europe/Nowhere', 'local', '../etc', '+01:00'])
    await refused({ ...nightly, timeZone }, ['/timeZone'])
  await refused({ ...nightly, cron: 'x', timeZone: 'y', request: { tasks: [{ name: 'nope' }] } }, [
    '/timeZone',
    '/cron',
    '/request/tasks/0/name',
  ])
  const euros = { tasks: [{ name: 'echo', input: '€'.repeat(22_000) }] }
  await refused({ ...nightly, request: euros }, ['/request'])
  for (const name of ['a.b', 'a%20b', 'a%2Fb', 'ä', 'n'.repeat(65)]) await refused(nightly, [''], name)
  const { detail } = await readProblem(await put(service, 'a.b', nightly))
  assert.is(detail, 'the name must be 1–64 letters, digits, "-" and "_"')

  const unknown = await put(service, 'x', { ...nightly, request: { tasks: [{ name: 'echo' }, { name: 'nope' }] } })
  assert.equal(pointersOf(await expectProblem(unknown, 'unknown-task')), ['/request/tasks/1/name'])
  const many = await put(service, 'x', { ...nightly, request: { tasks: ['a', 'b', 'c'].map((name) => ({ name })) } })
  assert.equal(pointersOf(await expectProblem(many, 'too-many-tasks')), ['/request/tasks'])
  const text = { method: 'PUT', headers: { 'Content-Type': 'text/plain' }, body: 'x' }
  await expectProblem(await service.fetch('/schedules/x', text), 'unsupported-media-type')
  for (const what of ['', '/run', '/pause', '/resume']) {
    const ask = { method: what === '' ? 'GET' : 'POST' }
    for (const name of ['x', 'a.b']) {
      await expectProblem(await service.fetch(`/schedules/${name}${what}`, ask), 'schedule-not-found')
    }
  }
  assert.equal(await (await service.get('/schedules')).json(), { schedules: [] })
})

test('a read-only key sees schedules without secrets, and changes none', async () => {
  const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))
  await using service = await startService({ apiKeys: ['key'], apiKeysRead: ['reader'], tasksDir })
  const [key, reader] = ['key', 'reader'].map((name) => ({ Authorization: `Bearer ${name}` }))
  const login = { name: 'login', input: { user: 'ada', password: 'correct horse' } }
  await read(put(service, 'x', { ...nightly, request: { tasks: [login] } }, key), 201)
  const inputs = async (headers: Record<string, string> = {}): Promise<unknown> =>
    (await read(service.get('/schedules/x', headers))).request.tasks[0]
  assert.equal(await inputs(key), login)
  assert.equal(await inputs(reader), { name: 'login', input: { user: 'ada', password: '•••' } })
  await expectProblem(await put(service, 'x', nightly, reader), 'read-only-key')
  await expectProblem(await service.get('/schedules'), 'unauthorized')
})

test.run()
