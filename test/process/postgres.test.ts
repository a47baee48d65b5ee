/** The service as processes on PostgreSQL: what keeps one from starting, and what one leaves to another. */
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Environment, type Home } from '../harness/child.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { gateJob, openGate } from './gate.ts'

const clean = { code: 0, signal: null }

async function makeShared(): Promise<{ readonly home: Home; readonly schema: Schema } & AsyncDisposable> {
  const stack = new AsyncDisposableStack()
  const schema = stack.use(await makeSchema())
  const grace = { SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '100' }
  const home = stack.use(await makeHome({ DATABASE_URL: schema.url, DATABASE_SCHEMA: schema.name, ...grace }))
  return { home, schema, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

// Begun first, for another process takes up to 16 s to be sure: the other tests run meanwhile.
const cutOff = startCutOff()
cutOff.catch(() => {})

async function startCutOff() {
  const shared = await makeShared()
  const { home, schema } = shared
  const one = await home.start({ THREADS: '1' })
  const asked = one.post('/run-tasks', { tasks: [gateJob] }).catch(() => null)
  const { id } = await until('it runs', async () => {
    const [row] = await schema.query<{ id: string }>(`SELECT run_id AS id FROM job WHERE state = 'running'`)
    return row
  })
  const other = await home.start({ THREADS: '1' })
  await one.kill('SIGKILL')
  await asked
  openGate(home)
  return { shared, other, id }
}

test('a stopping process hands its jobs back, and another one runs them at once', async () => {
  await using shared = await makeShared()
  const { home, schema } = shared
  const [one, other] = await Promise.all([home.start({ ROLE: 'worker' }), home.start()])
  const { id } = await readRun(
    await other.post('/run-tasks', { respond: 'none', tasks: Array.from({ length: 4 }, () => gateJob) }),
  )
  await until('all run', async () =>
    (await readRun(await other.get(`/runs/${id}`))).jobs.every(({ startedAt }) => startedAt),
  )
  assert.equal(await one.kill('SIGTERM'), clean)
  openGate(home)
  const run = await until('all have ended', async () => {
    const now = await readRun(await other.get(`/runs/${id}`))
    return now.state === 'completed' && now
  })
  assert.equal(
    run.jobs.map(({ attempt, failures }) => [attempt, failures?.length]),
    Array.from({ length: 4 }, () => [1, 0]),
  )
  const lost = await schema.query<{ lost_starts: number }>('SELECT lost_starts FROM job WHERE lost_starts > 0')
  assert.equal(lost, [])
  assert.equal(await other.kill('SIGTERM'), clean)
  const rest = await schema.query<{ id: string }>('SELECT id FROM process')
  assert.equal(rest, [], 'nobody has a lease any more')
})

test('each request committed in the inbox makes one run, whichever process dies', async () => {
  await using shared = await makeShared()
  const { home, schema } = shared
  const [one, other] = await Promise.all([home.start(), home.start()])
  const client = new Client({ connectionString: schema.url })
  await client.connect()
  const ids: string[] = []
  try {
    for (let index = 0; index < 60; index += 1) {
      const { rows } = await client.query<{ id: string }>(`SELECT ${schema.name}.run_tasks($1) AS id`, [
        { tasks: [{ name: 'mark-io', input: { ms: 0, failures: 0, value: index } }] },
      ])
      ids.push(rows[0]?.id ?? '')
      if (index === 30) void one.kill('SIGKILL')
    }
  } finally {
    await client.end()
  }
  for (const id of ids) assert.is((await readRun(await other.get(`/runs/${id}`))).id, id)
  const [row] = await schema.query(
    'SELECT count(*)::integer AS runs, (SELECT count(*)::integer FROM inbox) AS asked FROM record',
  )
  assert.equal(row, { runs: ids.length, asked: 0 })
})

test('a database that cannot be used is refused by its name, and never with its password', async () => {
  await using shared = await makeShared()
  const { home, schema } = shared
  const missing = new URL(schema.url)
  missing.pathname = '/missing'
  missing.password = 'do-not-tell'
  await checkRefused(home, { DATABASE_URL: missing.href }, ['/missing'])
  await schema.query(`CREATE SCHEMA ${schema.name}`)
  await schema.query('CREATE TABLE schema_version (version integer)')
  await schema.query('INSERT INTO schema_version VALUES (99)')
  await checkRefused(home, {}, [schema.name, '99'])
  await checkRefused(home, { DATABASE_URL: 'sqlite::memory:', ROLE: 'http' }, ['ROLE'])
})

test('without the package pg, start-up says what to install', async () => {
  await using shared = await makeShared()
  const hide = `import { registerHooks } from 'node:module'
    registerHooks({ resolve(name, context, next) {
      if (name !== 'pg') return next(name, context)
      throw Object.assign(new Error('not installed'), { code: 'ERR_MODULE_NOT_FOUND' })
    } })`
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(hide)}`
  await checkRefused(shared.home, { NODE_OPTIONS }, ['npm install pg'])
})

test('a first job that is cut off by the end of its process is run by another one', async () => {
  const { other, id, ...rest } = await cutOff
  await using shared = rest.shared
  // 8 s of silence, and 8 s of its own renewals, which may begin later.
  const run = await until('it has ended', async () => {
    const now = await readRun(await other.get(`/runs/${id}`))
    return now.state === 'completed' && now
  })
  assert.equal([jobAt(run, 0).attempt, jobAt(run, 0).failures], [1, []])
  const [job] = await shared.schema.query<{ lost_starts: number; claim: number }>('SELECT lost_starts, claim FROM job')
  assert.equal(job, { lost_starts: 1, claim: 2 })
})

async function checkRefused(home: Home, environment: Environment, names: readonly string[]): Promise<void> {
  const started = home.spawn(environment)
  assert.equal(await started.ended(), { code: 1, signal: null })
  const told = started.lines.filter(({ level }) => level === 'fatal').map(({ msg }) => msg)
  assert.is(told.length, 1)
  for (const name of names) assert.ok(told[0]?.includes(name), `"${told[0]}" does not name ${name}`)
  assert.not.ok(JSON.stringify(started.lines).includes('do-not-tell'))
}

test.run()
