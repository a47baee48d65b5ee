/** Idempotency-Key: of requests that are the same, one makes a run, and all are answered with it. */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { jobAt, listRuns, readRun } from '../harness/run.ts'
import { fixtureTasks, type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const echo = { tasks: [{ name: 'echo', input: 'once' }] }
let meetings = 0

/** A run whose first job ends when the test wants it to. */
function openMeeting(): { readonly body: object; end(): Promise<number> } {
  meetings += 1
  const meeting = `idempotency ${meetings}`
  return {
    body: { tasks: [{ name: 'meet', input: { meeting, count: 2 } }] },
    end: () => attend({ meeting, count: 2 }, 'test'),
  }
}

function post(service: Service, key: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return service.post('/run-tasks', body, { 'Idempotency-Key': key, ...headers })
}

const runsIn = async (service: Service) => (await listRuns(service, '?pageSize=500')).length

/** Resolves when a run is there, so that what follows comes second. */
async function begun(service: Service): Promise<void> {
  await until('the run is accepted', async () => (await runsIn(service)) > 0)
}

test('the same request again is answered with the same run, as it is by now', async () => {
  await using service = await shareService()
  const first = await post(service, 'k', echo)
  assert.not.ok(first.headers.has('Idempotency-Replayed'))
  const run = await readRun(first)
  const again = await post(service, 'k', echo)
  assert.is(again.status, 200)
  assert.is(again.headers.get('Idempotency-Replayed'), 'true')
  assert.is(again.headers.get('Content-Location'), `/runs/${run.id}`)
  assert.equal(await readRun(again), run)
  assert.is(await runsIn(service), 1)
})

test('a key is the same with and without quotes, and another key is another run', async () => {
  await using service = await shareService()
  const ids = new Set<string>()
  for (const key of ['a', '"a"', 'a']) ids.add((await readRun(await post(service, key, echo))).id)
  assert.is(ids.size, 1)
  ids.add((await readRun(await post(service, 'b', echo))).id)
  ids.add((await readRun(await service.post('/run-tasks', echo))).id)
  assert.is(ids.size, 3)
})

test('the stored status is that of a failure too, and the failed task does not run again', async () => {
  await using service = await shareService()
  const body = { tasks: [{ name: 'fail', input: { message: 'no', status: 418 } }] }
  const first = await expectProblem(await post(service, 'k', body), 'first-task-failed', 418)
  const again = await post(service, 'k', body)
  assert.is(again.headers.get('Idempotency-Replayed'), 'true')
  const problem = await expectProblem(again, 'first-task-failed', 418)
  assert.equal(problem, first)
})

test('the same body means the same bytes; headers do not count', async () => {
  await using service = await shareService()
  const { id } = await readRun(await post(service, 'k', '{"tasks":[{"name":"echo"}]}'))
  const same = await post(service, 'k', '{"tasks":[{"name":"echo"}]}', { 'X-Other': '1', Prefer: 'return=minimal' })
  assert.is((await readRun(same)).id, id)
  const other = await post(service, 'k', '{"tasks":[{"name":"echo"}] }')
  assert.is(other.headers.get('Link'), `</runs/${id}>; rel="monitor"`)
  assert.is((await expectProblem(other, 'idempotency-key-reused')).runId, id)
  assert.is(await runsIn(service), 1)
})

test('an empty body differs from others', async () => {
  await using service = await startService({ tasksDir: fileURLToPath(new URL('recipe', pathToFileURL(fixtureTasks))) })
  const first = await post(service, 'k', undefined, { Prefer: 'respond-async' })
  assert.is(first.status, 202)
  const { id } = await readRun(first)
  assert.is((await readRun(await post(service, 'k', undefined, { Prefer: 'respond-async' }))).id, id)
  await expectProblem(await post(service, 'k', {}), 'idempotency-key-reused')
})

test('while the first is being answered, the same request is a conflict that names the run', async () => {
  await using service = await shareService()
  const { body, end } = openMeeting()
  const first = post(service, 'k', body)
  await begun(service)
  const response = await post(service, 'k', body)
  const link = response.headers.get('Link')
  const problem = await expectProblem(response, 'idempotency-in-progress')
  await end()
  const run = await readRun(await first)
  assert.is(problem.runId, run.id)
  assert.is(link, `</runs/${run.id}>; rel="monitor"`)
})

test('with Prefer: wait it joins the first one, and both get the answer', async () => {
  await using service = await shareService()
  const { body, end } = openMeeting()
  const first = post(service, 'k', body)
  await begun(service)
  const joined = [1, 2, 3].map(() => post(service, 'k', body, { Prefer: 'wait=60' }))
  await end()
  const run = await readRun(await first)
  for (const response of await Promise.all(joined)) {
    assert.is(response.status, 200)
    assert.is(response.headers.get('Idempotency-Replayed'), 'true')
    assert.is(response.headers.get('Preference-Applied'), 'wait=60')
    assert.equal((await readRun(response)).answer, run.answer)
  }
  assert.is(await runsIn(service), 1)
})

test('a request that joins waits only as long as it wants to', async () => {
  await using service = await shareService()
  const { body, end } = openMeeting()
  const first = post(service, 'k', body)
  await begun(service)
  const joined = await post(service, 'k', body, { Prefer: 'wait=1' })
  assert.is(joined.status, 202)
  assert.is((await readRun(joined)).answer, null)
  await end()
  assert.is((await first).status, 200)
})

for (const [what, headers] of [
  ['respond-async', { Prefer: 'respond-async' }],
  ['a wait that ended before the answer', { Prefer: 'wait=0' }],
] as const) {
  test(`where the first reply was a 202 (${what}), so are the next, until there is an answer`, async () => {
    await using service = await shareService()
    const { body, end } = openMeeting()
    const first = await post(service, 'k', body, headers)
    assert.is(first.status, 202)
    const { id } = await readRun(first)
    for (const more of [headers, {}]) {
      const again = await post(service, 'k', body, more)
      assert.is(again.status, 202)
      assert.is(again.headers.get('Idempotency-Replayed'), 'true')
      assert.is(again.headers.get('Location'), `/runs/${id}`)
    }
    await end()
    const answered = await until('there is an answer', async () => {
      const response = await post(service, 'k', body)
      return response.status === 200 && response
    })
    assert.is((await readRun(answered)).id, id)
  })
}

test('a request that joins after an early 202 does not block others', async () => {
  await using service = await shareService()
  const { body, end } = openMeeting()
  const { id } = await readRun(await post(service, 'k', body, { Prefer: 'respond-async' }))
  const joined = post(service, 'k', body, { Prefer: 'wait=60' })
  // However soon the one that joins is seen: each of these is a 202 whether it comes before or after.
  for (let round = 0; round < 20; round += 1) assert.is((await post(service, 'k', body)).status, 202)
  await end()
  const response = await joined
  assert.equal([response.status, (await readRun(response)).id], [200, id])
})

test('with respond: none every reply is a 202', async () => {
  await using service = await shareService()
  const body = { ...echo, respond: 'none' }
  const { id } = await readRun(await post(service, 'k', body))
  await until('the run has ended', async () => (await readRun(await service.get(`/runs/${id}`))).state === 'completed')
  for (const headers of [{}, { Prefer: 'wait=60' }]) {
    const startedAt = performance.now()
    const again = await post(service, 'k', body, headers)
    assert.is(again.status, 202)
    assert.not(again.headers.has('Preference-Applied'))
    assert.is((await readRun(again)).state, 'completed')
    assert.ok(performance.now() - startedAt < 30_000, 'there is nothing to wait for')
  }
})

test('200 requests at once with one key make exactly one run', async () => {
  await using service = await shareService()
  const body = { tasks: [{ name: 'where' }, { name: 'echo', input: 1 }] }
  const responses = await Promise.all(Array.from({ length: 200 }, () => post(service, 'k', body)))
  const statuses = new Set(responses.map(({ status }) => status))
  assert.ok(
    [...statuses].every((status) => status === 200 || status === 409),
    [...statuses].join(' '),
  )
  const ids = await Promise.all(
    responses.map(async (response) => {
      const answer = (await response.json()) as { id?: string; runId?: string }
      return answer.id ?? answer.runId
    }),
  )
  assert.is(new Set(ids).size, 1)
  assert.is(
    responses.filter((response) => response.status === 200 && !response.headers.has('Idempotency-Replayed')).length,
    1,
  )
  assert.is(await runsIn(service), 1)
})

test('a request that is refused does not use the key up', async () => {
  await using service = await shareService()
  await expectProblem(await post(service, 'k', { tasks: [{ name: 'no-such-task' }] }), 'unknown-task')
  await expectProblem(await post(service, 'k', '{'), 'malformed-json')
  assert.is((await post(service, 'k', echo)).status, 200)
})

test('a deleted run takes its key with it', async () => {
  await using service = await shareService()
  const { id } = await readRun(await post(service, 'k', echo))
  assert.is((await service.fetch(`/runs/${id}`, { method: 'DELETE' })).status, 204)
  const again = await post(service, 'k', { tasks: [{ name: 'where' }] })
  assert.not.ok(again.headers.has('Idempotency-Replayed'))
  const run = await readRun(again)
  assert.is.not(run.id, id)
  assert.is(jobAt(run, 0).task, 'where')
})

test('an invalid key is refused, and nothing is accepted', async () => {
  await using service = await shareService()
  for (const key of ['', '""', '"open', 'sh"ut"', 'x'.repeat(256), `"${'x'.repeat(256)}"`, 'caf\u00e9']) {
    await expectProblem(await post(service, key, echo), 'idempotency-key-invalid')
  }
  assert.is(await runsIn(service), 0)
})

test('a key may be of any characters that a header can have, and of 255 of them', async () => {
  await using service = await shareService()
  const keys = ['x', 'x'.repeat(255), `"${'y'.repeat(255)}"`, '"with \\"quotes\\" and \\\\"', '"a,b; c"', 'a b']
  for (const key of keys) {
    const first = await post(service, key, echo)
    assert.equal([first.status, first.headers.has('Idempotency-Replayed')], [200, false], key)
    assert.is((await post(service, key, echo)).headers.get('Idempotency-Replayed'), 'true', key)
  }
  assert.is(await runsIn(service), keys.length)
})

test.run()
