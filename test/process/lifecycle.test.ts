/** Leaving is clean: what runs may end, what does not is handed back unspent, and every caller gets an answer. */
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child, type Home } from '../harness/child.ts'
import { readProblem, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { readDatabase, type StoredJob } from './database-file.ts'
import { readExecutions } from './executions.ts'
import { gateJob, openGate } from './gate.ts'

const clean = { code: 0, signal: null }

// SIGINT, as one that a terminal sends to the whole group, has its test in restarts.test.ts.
for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} refuses new runs, lets the running jobs end, and exits with 0`, async () => {
    await using home = await makeHome({ SHUTDOWN_GRACE_MS: '30000' })
    const child = await home.start()
    const reply = child.post('/run-tasks', { tasks: [gateJob, gateJob] })
    await untilRunning(home, 2)
    child.signal(signal)
    const readyz = await until('it is draining', async () => {
      const response = await child.get('/readyz')
      return response.status !== 200 && response
    })
    assert.is(readyz.status, 503)
    assert.is((await child.get('/livez')).status, 200)
    await checkRefusal(child)
    // npm and the terminal can both pass a signal on.
    child.signal('SIGTERM')
    child.signal('SIGINT')
    await checkRefusal(child)
    openGate(home)

    const response = await reply
    assert.is(response.status, 200)
    assert.is((await readRun(response)).result, 'gate is open')
    assert.equal(await child.ended(), clean)
    assert.equal(
      child.lines.map(({ msg }) => msg).filter((msg) => msg.startsWith('stop')),
      ['stopping', 'stopped'],
    )
    assert.is(child.errors(), '')
    assert.equal(jobsOf(home), [
      { state: 'completed', attempt: 1, lostStarts: 0 },
      { state: 'completed', attempt: 1, lostStarts: 0 },
    ])
  })
}

test('a signal during the recovery costs the jobs that it has just started nothing', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '100', CANCEL_GRACE_MS: '100' })
  const first = await home.start()
  const asked = first.post('/run-tasks', { tasks: [gateJob, gateJob], respond: 'none' })
  assert.is((await asked).status, 202)
  await untilRunning(home, 2)
  await first.kill('SIGKILL')

  const second = home.spawn()
  // The last line before the one that says it is ready.
  await second.logged('took back the jobs')
  assert.equal(await second.kill('SIGTERM'), clean)
  const unspent = { state: 'queued', attempt: 0, lostStarts: 1 }
  assert.equal(jobsOf(home), [unspent, unspent])
})

test('jobs that do not end within the grace are handed back unspent, and their caller gets a 202', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '200', CANCEL_GRACE_MS: '100' })
  const child = await home.start()
  const deaf = { name: 'gate', input: { gate: 'gate', isDeaf: true } }
  const stubborn = { name: 'stubborn', input: { gate: 'gate' } }
  const [reply, other] = [
    child.post('/run-tasks', { tasks: [gateJob, gateJob, deaf, stubborn] }),
    child.post('/run-tasks', { tasks: [deaf] }),
  ]
  await untilRunning(home, 5)
  assert.equal(await child.kill('SIGTERM'), clean)
  for (const response of [await reply, await other]) {
    assert.is(response.status, 202)
    const run = await readRun(response)
    assert.is(response.headers.get('Location'), `/runs/${run.id}`)
    assert.match(response.headers.get('Retry-After') ?? '', /^\d+$/)
    assert.is(run.answer, null)
  }
  const unspent = { state: 'queued', attempt: 0, lostStarts: 0 }
  assert.equal(jobsOf(home), [unspent, unspent, unspent, unspent, unspent])

  openGate(home)
  const next = await home.start()
  await until('every job is final', () => backlogIsEmpty(next))
  assert.equal(await next.kill('SIGTERM'), clean)
  const done = { state: 'completed', attempt: 1, lostStarts: 0 }
  assert.equal(jobsOf(home), [done, done, done, done, done])
})

test('runs that arrive while the signal does are refused or handed back, never abandoned', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '200', CANCEL_GRACE_MS: '100' })
  const child = await home.start()
  const long = { name: 'mark-io', input: { ms: 60_000, failures: 0, value: 1 } }
  const replies: Promise<number>[] = []
  for (let arrival = 0; arrival < 300; arrival += 1) {
    const reply = child.post('/run-tasks', { tasks: [long] })
    // Who comes after the last one left finds nobody.
    replies.push(
      reply.then(
        ({ status }) => status,
        () => 0,
      ),
    )
    if (arrival === 5) child.signal('SIGTERM')
    await turn()
  }
  assert.equal(await child.ended(), clean)
  const statuses = await Promise.all(replies)
  const unexpected = statuses.filter((status) => ![0, 202, 503].includes(status))
  assert.equal(unexpected, [])
  const { runs, jobs } = readDatabase(home.databasePath)
  assert.is(statuses.filter((status) => status === 202).length, runs.length)
  const isUnspent = ({ state, attempt }: StoredJob): boolean => state === 'queued' && attempt === 0
  assert.equal(
    jobs.filter((job) => !isUnspent(job)),
    [],
  )
})

test('npm start serves the sample tasks, and a signal to its process group ends it with 0', async () => {
  await using home = await makeHome()
  const child = await home.start({ TASKS_DIR: '' }, 'npm')
  const reply = child.post('/run-tasks', { tasks: [{ name: 'first' }] })
  const response = await reply
  assert.is((await readRun(response)).result, 'First result')
  assert.equal(await child.kill('SIGTERM'), clean)
  assert.is(child.lines.at(-1)?.msg, 'stopped')
})

async function checkRefusal(child: Child): Promise<void> {
  const refused = await child.post('/run-tasks', { tasks: [gateJob] })
  assert.is(refused.status, 503)
  assert.match(refused.headers.get('Retry-After') ?? '', /^\d+$/)
  assert.is((await readProblem(refused)).type, '/problems/shutting-down')
}

async function untilRunning(home: Home, jobs: number): Promise<void> {
  await until(`${jobs} jobs run`, () => readExecutions(`${home.directory}/executions`).length >= jobs)
}

async function backlogIsEmpty(child: Child): Promise<boolean> {
  const stats: unknown = await (await child.get('/stats')).json()
  return Reflect.get(Object(stats), 'backlog') === 0
}

function jobsOf(home: Home): object[] {
  const { jobs } = readDatabase(home.databasePath)
  return jobs.map(({ state, attempt, lostStarts }) => ({ state, attempt, lostStarts }))
}

test.run()
