/** A restart is no crash: however soon the process is killed after it was asked to leave, its jobs lose nothing by it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Home } from '../harness/child.ts'
import { until } from '../harness/until.ts'
import { readDatabase } from './database-file.ts'
import { readExecutions } from './executions.ts'
import { gateJob, openGate } from './gate.ts'

const killed = { code: null, signal: 'SIGKILL' }
const clean = { code: 0, signal: null }
const executionsOf = (home: Home) => readExecutions(join(home.directory, 'executions'))

function jobsOf(home: Home): object[] {
  const { jobs } = readDatabase(home.databasePath)
  return jobs.map(({ state, attempt, lostStarts, error }) => ({ state, attempt, lostStarts, error }))
}

test('a job that a restart kills again and again, before the grace is over, completes in the end', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '600000' })
  const first = await home.start()
  const tasks = [gateJob, { name: 'stubborn', input: { gate: 'gate' } }]
  void first.post('/run-tasks', { tasks }).catch(() => {})
  let child = first
  for (let restart = 1; restart <= 3; restart += 1) {
    await until('both jobs run', () => executionsOf(home).length === 2 * restart)
    child.signal(restart % 2 === 0 ? 'SIGINT' : 'SIGTERM')
    assert.is((await child.logged('from now on the running jobs lose no start'))['jobs'], 2)
    assert.equal(await child.kill('SIGKILL'), killed)
    child = await home.start()
  }
  openGate(home)
  await until('every job is final', async () => {
    const stats: unknown = await (await child.get('/stats')).json()
    return Reflect.get(Object(stats), 'backlog') === 0
  })
  assert.equal(await child.kill('SIGTERM'), clean)
  const done = { state: 'completed', attempt: 1, lostStarts: 0, error: null }
  assert.equal(jobsOf(home), [done, done])
})

test('a Ctrl-C that ends the child process of a task too fails no job', async () => {
  await using home = await makeHome({ MAIN_BUDGET_MS: '5000' })
  const directory = join(home.directory, 'tasks')
  mkdirSync(directory)
  const task = `import { execFile } from 'node:child_process'
    import { promisify } from 'node:util'
    export default { maxAttempts: 1, run(_, { log }) {
      const ended = promisify(execFile)('sleep', ['600'])
      log.info('has a child process')
      return ended
    } }`
  for (const name of ['on-main', 'in-pool']) writeFileSync(join(directory, `${name}.js`), task)
  // In a group of its own, which a signal reaches as a whole, as from the terminal.
  const child = await home.start({ TASKS_DIR: directory }, 'npm')
  const reply = child.post('/run-tasks', { tasks: [{ name: 'on-main' }, { name: 'in-pool' }] })
  reply.catch(() => {})
  await until('both jobs have one', () => child.lines.filter(({ msg }) => msg === 'has a child process').length === 2)
  assert.equal(await child.kill('SIGINT'), clean)
  assert.is((await reply).status, 202)
  const unspent = { state: 'queued', attempt: 0, lostStarts: 0, error: null }
  assert.equal(jobsOf(home), [unspent, unspent])
})

test('a task that has a child process stop the service is given up in the end', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '50' })
  const directory = join(home.directory, 'tasks')
  mkdirSync(directory)
  const task = `import { spawn } from 'node:child_process'
    import { once } from 'node:events'
    export default { kind: 'io', maxAttempts: 1, async run() {
      spawn('kill', ['-TERM', String(process.pid)])
      await new Promise(() => {})
    } }`
  writeFileSync(join(directory, 'stops.js'), task)
  const first = await home.start({ TASKS_DIR: directory })
  void first.post('/run-tasks', { tasks: [{ name: 'stops' }], respond: 'none' }).catch(() => {})
  assert.equal(await first.ended(), clean)
  assert.equal(jobsOf(home), [{ state: 'queued', attempt: 0, lostStarts: 0, error: null }])
  {
    // As if that had gone on: each start takes a while.
    using database = new DatabaseSync(home.databasePath)
    database.exec("UPDATE record SET record = json_set(record, '$[7][0][19]', 20)")
  }
  for (let start = 0; start < 3; start += 1) {
    assert.equal(await home.spawn({ TASKS_DIR: directory }).ended(), clean)
  }
  const [job] = readDatabase(home.databasePath).jobs
  assert.equal([job?.state, job?.attempt], ['failed', 0])
  assert.match(job?.error ?? '', 'the process was asked to stop soon after 23 starts of this job')
})

test.run()
