/** Changing every run that a filter matches. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readProblem, readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }
const failing = { name: 'fail', maxAttempts: 1 }

async function enqueue(service: Service, tasks: unknown[], tags: string[] = []): Promise<string> {
  return (await readRun(await service.post('/run-tasks', { tasks, tags, respond: 'none' }))).id
}

const change = async (service: Service, path: string) => (await service.post(path)).json()
const stateOf = async (service: Service, id: string) => (await readRun(await service.get(`/runs/${id}`))).state

test('cancels those that run, and counts all that match', async () => {
  await using service = await shareService()
  const ended = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }], tags: ['x'] }))
  const ids = [await enqueue(service, [waiting, waiting], ['x']), await enqueue(service, [waiting], ['x', 'y'])]
  const other = await enqueue(service, [waiting], ['y'])
  assert.equal(await change(service, '/runs/cancel?tag=x&dryRun=true'), { matched: 3, changed: 0 })
  assert.is(await stateOf(service, ids[0] ?? ''), 'running')
  assert.equal(await change(service, '/runs/cancel?tag=x'), { matched: 3, changed: 2 })
  for (const id of ids) assert.is(await stateOf(service, id), 'cancelled')
  assert.equal([await stateOf(service, ended.id), await stateOf(service, other)], ['completed', 'running'])
  assert.equal(await change(service, '/runs/cancel?state=cancelled&task=wait'), { matched: 2, changed: 0 })
})

test('queues failed and cancelled jobs again, and no others', async () => {
  await using service = await shareService()
  const id = await enqueue(service, [{ name: 'echo', input: 1 }, failing, failing])
  await service.get(`/runs/${id}`)
  const isOver = async () => (await stateOf(service, id)) === 'failed'
  while (!(await isOver())) await service.get(`/runs/${id}`, { 'If-None-Match': 'W/"1"', Prefer: 'wait=1' })
  const before = await readRun(await service.get(`/runs/${id}`))
  assert.equal(await change(service, '/runs/retry?state=failed&task=fail'), { matched: 1, changed: 1 })
  while (!(await isOver())) await service.get(`/runs/${id}`, { 'If-None-Match': 'W/"1"', Prefer: 'wait=1' })
  const after = await readRun(await service.get(`/runs/${id}`))
  assert.equal(
    after.jobs.map(({ failures }) => failures?.length),
    [0, 2, 2],
  )
  assert.is(after.jobs[0]?.finishedAt, before.jobs[0]?.finishedAt)
  assert.equal(await change(service, '/runs/retry?state=completed'), { matched: 0, changed: 0 })
})

test('goes through as many batches as it takes, and others are served meanwhile', async () => {
  await using service = await startService({ maxTasksPerRun: 10_000 })
  await Promise.all(Array.from({ length: 250 }, () => enqueue(service, [waiting], ['many'])))
  const changing = change(service, '/runs/cancel?tag=many')
  const quick = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 'quick' }] }))
  assert.is(quick.result, 'quick')
  assert.equal(await changing, { matched: 250, changed: 250 })
  assert.equal(await change(service, '/runs/retry?tag=many&dryRun=false'), { matched: 250, changed: 250 })
  assert.equal(await change(service, '/runs/cancel?tag=many'), { matched: 250, changed: 250 })
})

test('says how far it came when there is no more room', async () => {
  await using service = await startService({ maxBacklog: 3 })
  const ids = [await enqueue(service, [waiting], ['z']), await enqueue(service, [waiting], ['z'])]
  await change(service, '/runs/cancel?tag=z')
  for (const _ of ids) await enqueue(service, [waiting])
  const refused = await service.post('/runs/retry?tag=z')
  assert.is(refused.status, 503)
  const { type, detail } = await readProblem(refused)
  assert.is(type, '/problems/overloaded')
  assert.match(detail, /^1 runs were changed before this/)
  const states = await Promise.all(ids.map((id) => stateOf(service, id)))
  assert.equal(states.toSorted(), ['cancelled', 'running'])
})

test('needs a filter, and knows only those of the list', async () => {
  await using service = await shareService()
  for (const path of ['/runs/cancel', '/runs/retry', '/runs/cancel?dryRun=true', '/runs/retry?pageSize=1&tag=a']) {
    const response = await service.post(path)
    assert.is(response.status, 400, path)
    assert.is((await readProblem(response)).type, '/problems/invalid-filter')
  }
  for (const query of ['tag=a&dryRun=yes', 'state=done', 'tag=a&tag=b', 'createdAfter=today', 'what=ever']) {
    assert.is((await service.post(`/runs/cancel?${query}`)).status, 400, query)
  }
})

test('its path is not a run', async () => {
  await using service = await shareService()
  const response = await service.get('/runs/cancel')
  assert.is(response.status, 405)
  assert.is(response.headers.get('Allow'), 'POST, OPTIONS')
  assert.is((await service.fetch('/runs/retry', { method: 'DELETE' })).status, 405)
})

test('requires a key if there are some, and refuses other sites', async () => {
  await using service = await startService({ apiKeys: ['k'] })
  assert.is((await service.post('/runs/cancel?tag=a')).status, 401)
  await using open = await shareService()
  assert.is((await open.post('/runs/cancel?tag=a', undefined, { 'Sec-Fetch-Site': 'cross-site' })).status, 403)
})

test.run()
