/** The SQL function `run_tasks`: runs that exist if and only if the transaction that asks for them is committed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allBlocks, root } from '../docs/blocks.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const start = ({ name, url }: Schema, options: Parameters<typeof startService>[0] = {}) =>
  startService({ databaseUrl: url, databaseSchema: name, ...options })

/** A connection of its own, as somebody's who does not know the service. */
async function connect(schema: Schema, url = schema.url): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

async function ask(client: Client, { name }: Schema, request: unknown): Promise<string> {
  const { rows } = await client.query<{ id: string }>(`SELECT ${name}.run_tasks($1) AS id`, [JSON.stringify(request)])
  return rows[0]?.id ?? ''
}

async function ended(service: Service, id: string) {
  return until('the run has ended', async () => {
    const run = await readRun(await service.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

const echo = { tasks: [{ name: 'echo', input: 'hello' }] }

test('makes a run of each request that is committed, and of no other', async () => {
  await using schema = await makeSchema()
  await using service = await start(schema)
  await using client = await connect(schema)
  await client.query('BEGIN')
  const id = await ask(client, schema, { ...echo, respond: 'all', tags: ['order:1'] })
  await expectProblem(await service.get(`/runs/${id}`), 'run-not-found')
  await client.query('SAVEPOINT before')
  const lost = await ask(client, schema, echo)
  await client.query('ROLLBACK TO before')
  await client.query('COMMIT')
  const run = await readRun(await service.get(`/runs/${id}`))
  assert.equal([run.id, run.tags, run.jobs[0]?.task], [id, ['order:1'], 'echo'])
  const { state, jobs, answer } = await ended(service, id)
  assert.equal([state, jobs[0]?.result, answer], ['completed', 'hello', null])
  await expectProblem(await service.get(`/runs/${lost}`), 'run-not-found')
})

test('makes a failed run of a request that is not valid, which says why and cannot be retried', async () => {
  await using schema = await makeSchema()
  await using service = await start(schema, { maxTasksPerRun: 2, maxBodyBytes: 2_000 })
  await using client = await connect(schema)
  const name = 'echo'
  const requests: [request: unknown, task: string, message: RegExp][] = [
    [null, 'run_tasks', /^the body: /],
    [[], 'run_tasks', /^the body: /],
    [{ tasks: 7, tags: ['kept'] }, 'run_tasks', /^\/tasks: /],
    [{ tasks: [{ name, input: 1, more: 2 }], tags: ['kept'] }, name, /^\/tasks\/0\/more: unknown member/],
    [{ tasks: [{ name: '' }] }, 'run_tasks', /^\/tasks\/0\/name: /],
    [{ tasks: [{ name, after: [0] }] }, name, /^\/tasks\/0\/after\/0: /],
    [{ tasks: [{ name: 'sum', input: 7 }] }, 'sum', /^\/tasks\/0\/input: /],
    [{ tasks: [{ name }, { name }, { name }] }, name, /^3 tasks are more than the 2/],
    [{ tasks: [{ name, input: 'x'.repeat(2_000) }] }, 'run_tasks', /larger than 2000 bytes/],
  ]
  const ids: string[] = []
  for (const [request] of requests) ids.push(await ask(client, schema, request))
  const { rows } = await client.query<{ id: string }>(
    `SELECT ${schema.name}.run_tasks('{"tasks": [{"name": "echo", "input": 12345678901234567890}]}') AS id`,
  )
  ids.push(rows[0]?.id ?? '')
  requests.push([null, name, /^\/tasks\/0\/input: /])
  for (const [index, id] of ids.entries()) {
    const [, task, message] = requests[index] ?? [null, '', /never/]
    const { state, tags, jobs } = await ended(service, id)
    const [job] = jobs
    assert.equal(
      [state, jobs.length, job?.state, job?.task, job?.error?.code],
      ['failed', 1, 'failed', task, 'invalid_request'],
    )
    assert.match(job?.error?.message ?? '', message)
    assert.equal(tags, index === 2 || index === 3 ? ['kept'] : [])
  }
  await expectProblem(await service.post(`/runs/${ids[0]}/jobs/0/retry`), 'not-retryable')
  const retried = await service.post('/runs/retry?state=failed')
  assert.equal(await retried.json(), { matched: ids.length, changed: 0 })
  const stats = (await (await service.get('/stats')).json()) as { readonly conservation: unknown }
  assert.equal(stats.conservation, { accepted: ids.length, final: ids.length, live: 0, lost: 0 })
})

test('lets requests wait for room, for a start, and for a process that has their task', async () => {
  await using schema = await makeSchema()
  await using client = await connect(schema)
  let waiting = ''
  {
    await using full = await start(schema, { maxBacklog: 1 })
    const [first, second] = [{ name: 'echo', delayMs: 600_000 }, { name: 'echo' }]
    const busy = await readRun(await full.post('/run-tasks', { tasks: [first], respond: 'none' }))
    waiting = await ask(client, schema, { tasks: [second] })
    await expectProblem(await full.get(`/runs/${waiting}`), 'overloaded')
    await full.post(`/runs/${busy.id}/cancel`)
    assert.is((await ended(full, waiting)).state, 'completed')
    waiting = await ask(client, schema, { tasks: [{ name: 'tomorrow' }] })
    await expectProblem(await full.get(`/runs/${waiting}`), 'overloaded')
  }
  const early = await ask(client, schema, echo)
  await using service = await start(schema)
  assert.is((await ended(service, early)).state, 'completed', 'it is not kept by the one before')
})

test('needs the right to call it and no other, and is not led astray by the caller’s own tables', async () => {
  await using schema = await makeSchema()
  await using service = await start(schema)
  const role = `${schema.name}_app`
  await schema.query(`CREATE ROLE ${role} LOGIN PASSWORD 'app'`)
  const own = new URL(schema.url)
  own.username = role
  own.password = 'app'
  try {
    await using client = await connect(schema, own.href)
    await schema.query(`GRANT USAGE ON SCHEMA ${schema.name} TO ${role}`)
    await client.query('CREATE TEMP TABLE inbox (id uuid, request text)')
    const refused = await ask(client, schema, echo).catch((error: unknown) => Reflect.get(Object(error), 'code'))
    assert.is(refused, '42501')
    await schema.query(`GRANT EXECUTE ON FUNCTION run_tasks(jsonb) TO ${role}`)
    const id = await ask(client, schema, echo)
    assert.is((await ended(service, id)).state, 'completed')
  } finally {
    await schema.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  }
})

test('the example of the guide works with node-postgres', async () => {
  await using schema = await makeSchema()
  await using service = await start(schema)
  const block = allBlocks('ts').find(({ text }) => text.includes('placeOrder'))
  const directory = await mkdtemp(join(root, '.dist-docs-'))
  await schema.query('CREATE TABLE orders (mail text NOT NULL)')
  const url = new URL(schema.url)
  url.searchParams.set('options', `-c search_path=${schema.name}`)
  const before = process.env['DATABASE_URL']
  process.env['DATABASE_URL'] = url.href
  try {
    const file = join(directory, 'orders.ts')
    await writeFile(file, (block?.text ?? '').replaceAll('forerunner.', `${schema.name}.`))
    const orders = (await import(pathToFileURL(file).href)) as { placeOrder(mail: string | null): Promise<string> }
    const { state, tags } = await ended(service, await orders.placeOrder('ada@example.org'))
    assert.equal([state, tags], ['completed', ['order']])
    await orders.placeOrder(null).then(assert.unreachable, () => {})
    const { runs } = (await (await service.get('/runs')).json()) as { readonly runs: readonly unknown[] }
    assert.is(runs.length, 1)
  } finally {
    process.env['DATABASE_URL'] = before ?? ''
    await rm(directory, { recursive: true })
  }
})

test.run()
