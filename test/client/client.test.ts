/** Each call of the client, against the service. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, ProblemError, type Client, type ClientOptions } from '../../src/client/client.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { rejects } from '../harness/rejects.ts'
import { startService, type Service } from '../harness/service.ts'
import { collect } from './collect.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

/** The harness holds what the client is answered against the contract. */
function clientOf(service: Service, apiKey?: string): Client {
  const { url: baseUrl } = service
  const checked: ClientOptions['fetch'] = ({ href }, init) => service.fetch(href.slice(baseUrl.length), init)
  return createClient({ baseUrl, fetch: checked, ...(apiKey !== undefined && { apiKey }) })
}

async function problemOf(promise: Promise<unknown>, code: string): Promise<ProblemError> {
  const error = await rejects(promise, code)
  if (!(error instanceof ProblemError)) throw error
  return error
}

test('runs tasks and reads what has become of them', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const run = await client.runTasks({ tasks: [{ name: 'echo', input: [1] }, waiting], tags: ['mine'] })
  assert.equal(run.result, [1])
  const { jobs, ...now } = await client.getRun(run.id)
  assert.equal([now.state, now.tags, jobs.length], ['running', ['mine'], 2])
  assert.equal((await client.getJob(run.id, 0)).result, [1])
})

test('says with which preferences a run is wanted', async () => {
  await using service = await startService()
  const client = clientOf(service)
  for (const options of [{ respondAsync: true }, { waitS: 0 }]) {
    const run = await client.runTasks({ tasks: [waiting] }, options)
    assert.equal([run.state, run.answer], ['running', null])
  }
  const request = { tasks: [{ name: 'where' }] }
  const one = await client.runTasks(request, { idempotencyKey: 'a "quoted" \\ key' })
  const two = await client.runTasks(request, { idempotencyKey: 'a "quoted" \\ key' })
  const other = await client.runTasks(request)
  assert.is(two.id, one.id)
  assert.is.not(other.id, one.id, 'each call has a key of its own')
})

test('throws the problem that is answered, with its members', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const failed = await problemOf(
    client.runTasks({ tasks: [{ name: 'fail', input: { status: 404 } }] }),
    'first-task-failed',
  )
  assert.is(failed.status, 404)
  assert.is(failed.problem.error?.message, 'failed on purpose')
  assert.is((await client.getRun(failed.runId ?? '')).state, 'failed')
  const invalid = await problemOf(client.runTasks({ tasks: [{ name: 'echo', priority: 10 }] }), 'validation-error')
  assert.equal(
    invalid.problem.errors?.map(({ pointer }) => pointer),
    ['/tasks/0/priority'],
  )
  assert.is(invalid.runId, undefined)
  await problemOf(client.getRun('no/run?'), 'run-not-found')
  await problemOf(client.getJob(failed.runId ?? '', 1), 'job-not-found')
})

test('asks for a newer version only', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const { id, version } = await client.runTasks({ tasks: [waiting], respond: 'none' })
  const { version: latest } = await client.cancel(id)
  assert.is((await client.getRun(id, { ifNewerThan: version }))?.version, latest)
  assert.is(await client.getRun(id, { ifNewerThan: latest }), null)
})

test('lists runs by page, and all of them', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const ids: string[] = []
  for (const tag of ['a', 'b', 'a', 'a'])
    ids.unshift((await client.runTasks({ tasks: [{ name: 'where' }], tags: [tag] })).id)
  const page = await client.listRuns({ pageSize: 3 })
  assert.equal(
    page.runs.map(({ id }) => id),
    ids.slice(0, 3),
  )
  const tagged = client.allRuns({ tag: 'a', pageSize: 1, createdAfter: new Date(0), state: 'completed' })
  const found = (await collect(tagged)).map(({ id }) => id)
  assert.equal(found, [ids[0], ids[1], ids[3]])
  assert.equal(await collect(client.allRuns({ createdBefore: new Date(0).toISOString() })), [])
})

test('cancels, retries and removes', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const { id } = await client.runTasks({ tasks: [waiting, waiting], respond: 'none' })
  await problemOf(client.remove(id), 'run-active')
  assert.is((await client.cancel(id, 0)).jobs[0]?.state, 'cancelled')
  assert.is((await client.cancel(id)).state, 'cancelled')
  assert.is((await client.retry(id, 1)).state, 'running')
  await client.cancel(id)
  await client.remove(id)
  await problemOf(client.getRun(id), 'run-not-found')
})

test('reads the tasks and the numbers of the service', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const names = (await client.listTasks()).map(({ name }) => name)
  assert.ok(names.includes('echo'), String(names))
  await client.runTasks({ tasks: [{ name: 'echo' }] })
  assert.is((await client.stats()).runs.completed, 1)
})

test('shows its key', async () => {
  await using service = await startService({ apiKeys: ['secret'] })
  assert.is((await clientOf(service, 'secret').stats()).backlog, 0)
  await problemOf(clientOf(service).stats(), 'unauthorized')
})

test('lets go when it is told to', async () => {
  await using service = await startService()
  const client = clientOf(service)
  const meeting = `${service.url}/client`
  const ending = new AbortController()
  const { signal } = ending
  const running = client.runTasks({ tasks: [{ name: 'meet', input: { meeting, count: 3 } }] }, { signal })
  await attend({ meeting, count: 2 }, 'the test')
  ending.abort()
  await rejects(running, 'AbortError')
  assert.is((await client.stats()).runs.running, 1, 'the run goes on')
})

test.run()
