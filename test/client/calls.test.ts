/** The calls of the client and those of the library are the same: each test runs over HTTP and inside the process. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  createClient,
  ProblemError,
  type Client,
  type ClientOptions,
  type NewerOptions,
  type RunTasksOptions,
} from 'forerunner/client'
import { attend } from '../fixtures/tasks/meet.ts'
import { rejects } from '../harness/rejects.ts'
import { shareService } from '../harness/service.ts'
import { share } from '../library/instance.ts'
import { collect } from './collect.ts'

interface Subject extends AsyncDisposable {
  readonly client: Client
}

const waiting = { name: 'wait', input: { ms: 60_000 } }
const long = 'x'.repeat(20_000)

/** The harness holds what the client is answered against the contract. */
async function overHttp(): Promise<Subject> {
  const service = await shareService()
  const { url: baseUrl } = service
  const checked: ClientOptions['fetch'] = ({ href }, init) => service.fetch(href.slice(baseUrl.length), init)
  return {
    client: createClient({ baseUrl, fetch: checked }),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}

async function inProcess(): Promise<Subject> {
  const { forerunner: client, ...scoped } = await share()
  return { client, ...scoped }
}

async function problemOf(promise: Promise<unknown>, code: string): Promise<ProblemError> {
  const error = await rejects(promise, code)
  if (!(error instanceof ProblemError)) throw error
  return error
}

for (const [way, open] of Object.entries({ 'over HTTP': overHttp, 'inside the process': inProcess })) {
  const test = suite(way)

  test('runs tasks and reads their outcome', async () => {
    await using subject = await open()
    const { client } = subject
    const run = await client.runTasks({ tasks: [{ name: 'echo', input: [1] }, waiting], tags: ['mine'] })
    assert.equal(run.result, [1])
    const { jobs, ...now } = await client.getRun(run.id)
    assert.equal([now.state, now.tags, jobs.length], ['running', ['mine'], 2])
    assert.equal((await client.getJob(run.id, 0)).result, [1])
  })

  test('says with which preferences a run is wanted', async () => {
    await using subject = await open()
    const { client } = subject
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
    await using subject = await open()
    const { client } = subject
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
    await using subject = await open()
    const { client } = subject
    const { id, version } = await client.runTasks({ tasks: [waiting], respond: 'none' })
    const { version: latest } = await client.cancel(id)
    assert.is((await client.getRun(id, { ifNewerThan: version }))?.version, latest)
    assert.is(await client.getRun(id, { ifNewerThan: latest }), null)
  })

  test('lists runs by page, and all of them', async () => {
    await using subject = await open()
    const { client } = subject
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
    await using subject = await open()
    const { client } = subject
    const { id } = await client.runTasks({ tasks: [waiting, waiting], respond: 'none' })
    await problemOf(client.remove(id), 'run-active')
    assert.is((await client.cancel(id, 0)).jobs[0]?.state, 'cancelled')
    assert.is((await client.cancel(id)).state, 'cancelled')
    assert.is((await client.retry(id, 1)).state, 'running')
    await client.cancel(id)
    await client.remove(id)
    await problemOf(client.getRun(id), 'run-not-found')
  })

  test('puts, shows, pauses, runs and removes schedules', async () => {
    await using subject = await open()
    const { client } = subject
    const schedule = { cron: '0 3 * * *', request: { tasks: [{ name: 'echo', input: 1 }] } }
    const put = await client.putSchedule('nightly', schedule)
    assert.equal(await client.getSchedule('nightly'), put)
    assert.equal(await client.listSchedules(), [put])
    assert.is((await client.pauseSchedule('nightly')).nextAt, null)
    assert.is((await client.resumeSchedule('nightly')).nextAt, put.nextAt)
    const { id, tags } = await client.runSchedule('nightly')
    assert.equal(tags, ['schedule:nightly'])
    assert.is((await client.waitForRun(id)).jobs[0]?.result, 1)
    const wrong = await problemOf(client.putSchedule('a/b', { ...schedule, cron: '' }), 'validation-error')
    assert.equal(
      wrong.problem.errors?.map(({ pointer }) => pointer),
      ['/cron'],
    )
    await client.removeSchedule('nightly')
    await problemOf(client.getSchedule('nightly'), 'schedule-not-found')
  })

  test('reads the tasks and the numbers of the service', async () => {
    await using subject = await open()
    const { client } = subject
    const names = (await client.listTasks()).map(({ name }) => name)
    assert.ok(names.includes('echo'), String(names))
    await client.runTasks({ tasks: [{ name: 'echo' }] })
    assert.is((await client.stats()).runs.completed, 1)
  })

  test('stops when it is aborted', async () => {
    await using subject = await open()
    const { client } = subject
    const meeting = `calls/${way}`
    const ending = new AbortController()
    const { signal } = ending
    const running = client.runTasks({ tasks: [{ name: 'meet', input: { meeting, count: 3 } }] }, { signal })
    await attend({ meeting, count: 2 }, 'the test')
    ending.abort()
    await rejects(running, 'AbortError')
    assert.is((await client.stats()).runs.running, 1, 'the run goes on')
  })

  test('enqueues: the run is there at once, and its answer comes as it was wanted', async () => {
    await using subject = await open()
    const { client } = subject
    const meeting = `enqueue/${way}`
    const run = await client.enqueue({
      tasks: [
        { name: 'meet', input: { meeting, count: 2 } },
        { name: 'echo', input: 2 },
      ],
    })
    assert.equal([run.state, run.answer, run.jobs.length], ['running', null, 2])
    await attend({ meeting, count: 2 }, 'the test')
    const ended = await client.waitForRun(run.id)
    assert.equal([ended.state, ended.answer?.mode, ended.jobs[1]?.result], ['completed', 'first', 2])
    assert.ok('result' in ended)
    assert.match(ended.jobs[0]?.thread ?? '', /^worker-/)
    await problemOf(client.enqueue({ tasks: [{ name: 'nope' }] }), 'unknown-task')
  })

  test('does not pass on options of other calls', async () => {
    await using subject = await open()
    const { client } = subject
    const ofRunTasks: RunTasksOptions = { waitS: 60 }
    const { id, answer } = await client.enqueue({ tasks: [{ name: 'echo' }] }, ofRunTasks)
    assert.is(answer, null, 'nobody waits for it')
    const ofGetRun: NewerOptions = { ifNewerThan: 1_000 }
    assert.is((await client.waitForRun(id, ofGetRun)).state, 'completed')
  })

  test('resolves to the same run for a repeated key, however the run ended', async () => {
    await using subject = await open()
    const { client } = subject
    const request = { tasks: [{ name: 'fail' }] }
    const one = await client.enqueue(request, { idempotencyKey: 'one' })
    await client.waitForRun(one.id)
    const two = await client.enqueue(request, { idempotencyKey: 'one' })
    assert.equal([two.id, two.state], [one.id, 'failed'])
    await problemOf(client.enqueue({ tasks: [{ name: 'echo' }] }, { idempotencyKey: 'one' }), 'idempotency-key-reused')
    const meeting = `enqueue again/${way}`
    const answered = { tasks: [{ name: 'meet', input: { meeting, count: 3 } }] }
    // It can be answered before the cancel is.
    const refused = problemOf(client.runTasks(answered, { idempotencyKey: 'two' }), 'first-task-failed')
    await attend({ meeting, count: 2 }, 'the test')
    const joined = await client.enqueue(answered, { idempotencyKey: 'two' })
    assert.is(joined.state, 'running')
    await client.cancel(joined.id)
    assert.is((await refused).runId, joined.id)
  })

  test('waits for the end of a run, and reads all of it', async () => {
    await using subject = await open()
    const { client } = subject
    const tasks = [{ name: 'echo', input: long }, { name: 'fail' }]
    const { id } = await client.enqueue({ tasks })
    const ended = await client.waitForRun(id)
    assert.equal([ended.state, ended.result], ['failed', long])
    const waits = await client.enqueue({ tasks: [waiting] })
    const ending = new AbortController()
    const waitingFor = client.waitForRun(waits.id, ending)
    ending.abort()
    await rejects(waitingFor, 'AbortError')
    await problemOf(client.waitForRun('nope'), 'run-not-found')
  })

  test('watches a run from its state to its end', async () => {
    await using subject = await open()
    const { client } = subject
    const meeting = `watch/${way}`
    const { id } = await client.enqueue({ tasks: [{ name: 'meet', input: { meeting, count: 2 } }] })
    const watching = client.watch(id)
    const { value: first } = await watching.next()
    assert.is(first?.type === 'run' && first.run.state, 'running')
    await attend({ meeting, count: 2 }, 'the test')
    const last = (await collect(watching)).at(-1)
    assert.is(last?.type === 'run' && last.run.state, 'completed')
    // Nobody needs to read to the end.
    for await (const event of client.watch((await client.enqueue({ tasks: [waiting] })).id)) {
      assert.is(event.type, 'run')
      break
    }
  })

  test('cancels and retries every run that a filter matches', async () => {
    await using subject = await open()
    const { client } = subject
    for (const tag of ['a', 'a', 'b']) await client.enqueue({ tasks: [waiting], tags: [tag] })
    assert.equal(await client.cancelRuns({ tag: 'a', dryRun: true }), { matched: 2, changed: 0 })
    assert.equal(await client.cancelRuns({ tag: 'a', createdAfter: new Date(0) }), { matched: 2, changed: 2 })
    assert.equal(await client.retryRuns({ tag: 'a' }), { matched: 2, changed: 2 })
    assert.equal(await client.cancelRuns({ state: 'running' }), { matched: 3, changed: 3 })
    await problemOf(client.cancelRuns({}), 'invalid-filter')
  })

  test('takes inputs as JSON has them', async () => {
    await using subject = await open()
    const { client } = subject
    const input = { at: new Date(0), nothing: undefined, list: [undefined] }
    const run = await client.runTasks({ tasks: [{ name: 'echo', input }] })
    assert.equal(run.result, { at: '1970-01-01T00:00:00.000Z', list: [null] })
  })

  test.run()
}
