/** The examples, started as their first lines say: as separate processes with the compiled package and no loader. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, type RunView } from '../../src/client/client.ts'
import { makeSchema, sharedPostgres } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { until } from '../harness/until.ts'
import { allBlocks, blocksOf, root } from './blocks.ts'

type Variables = Readonly<Record<string, string>>

interface Program extends AsyncDisposable {
  readonly url: string
}

function start(file: string, args: readonly string[], variables: Variables = {}) {
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env
  const env = { PATH, HOME, NODE_COMPILE_CACHE, DATABASE_URL: 'sqlite::memory:', PORT: '0', ...variables }
  const child = spawn(process.execPath, [file, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  return { child, ended: new Promise<number | null>((resolve) => child.once('close', resolve)) }
}

/** The output of a script that ends by itself. */
async function run(name: string, ...args: readonly string[]): Promise<string> {
  const { child, ended } = start(`docs/examples/${name}.ts`, args)
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  assert.is(code, 0, errors)
  return output
}

/** A program that listens until it is asked to stop, and must then do so. */
async function serve(file: string, variables: Variables = {}): Promise<Program> {
  const { child, ended } = start(file, [], variables)
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (said += part))
  const isReady = () => {
    if (child.exitCode !== null) throw new Error(said)
    return /port: (?<port>\d+)|ready at http:\/\/[\d.]+:(?<ready>\d+)/.exec(said)?.groups
  }
  const groups = await until(`${file} listens`, isReady)
  return {
    url: `http://127.0.0.1:${groups['port'] ?? groups['ready']}`,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      assert.is(await ended, 0, said)
    },
  }
}

const order = (url: string): Promise<Response> =>
  fetch(`${url}/orders`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Order': '42' },
    body: '{"order":"42"}',
  })

async function confirms(baseUrl: string, id: string): Promise<void> {
  const { jobs } = await createClient({ baseUrl }).waitForRun(id)
  assert.equal(jobs[0]?.result, { sent: '42', key: id })
}

test('the recipe answers with its first result while the others run', async () => {
  await using program = await serve('docs/examples/fastapi-recipe/recipe.ts')
  const response = await fetch(`${program.url}/run-tasks`, { method: 'POST' })
  const { id, result, jobs } = (await response.json()) as RunView
  assert.is(result, 'First result')
  assert.equal(
    jobs.map(({ finishedAt }) => finishedAt === null),
    [false, true, true],
  )
  // Or leaving would wait for them.
  await createClient({ baseUrl: program.url }).cancel(id)
})

test('the scripts print what they promise', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-examples-'))
  try {
    const page = join(directory, 'report.html')
    const [signUp, report, thumbnails, night] = await Promise.all([
      run('sign-up/sign-up', 'ada@example.org'),
      run('csv-report/report', 'test/fixtures/airports.csv', 'latitude', page),
      run('thumbnails/thumbnails', 'docs/page/empty.png', directory),
      run('nightly-report/night'),
    ])
    assert.match(signUp, /answer: \{ account: 7[\s\S]*completed: \{\s+sentTo: 'ada@example.org'[\s\S]*contact: 'crm-7'/)
    assert.match(report, 'latitude')
    assert.match(await readFile(page, 'utf8'), /<svg[\s\S]*"columns"/)
    assert.match(thumbnails, 'thumbnail-1024.png')
    assert.match(night, "{ orders: 3, total: 50, currency: 'EUR' }")
    assert.match(
      night,
      /2026-03-29T01:00:00.000Z 03:00:00 completed\n.*\n2026-03-31T01:00:00.000Z 03:00:00 completed\n$/,
    )
    assert.is((await readFile(join(directory, 'thumbnail-96.png'))).readUInt32BE(16), 96)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('the payment charges once, though its first attempt fails later', async () => {
  const lines = (await run('payment/payment')).trim().split('\n')
  assert.equal(lines, [
    'charge 19.9',
    'book payment-of-order-42 to order-42',
    'mail payment-of-order-42 to ada@example.com',
    'the mail server does not answer → {"payment":"payment-of-order-42","attempts":2}',
    'charge, book, receipt',
  ])
})

for (const host of ['koa', 'express']) {
  test(`the handler in ${host} answers by itself, and the job runs`, async () => {
    await using program = await serve(`docs/examples/hosts/${host}.ts`)
    const response = await order(program.url)
    assert.is(response.status, 201)
    const { run: id, watch } = (await response.json()) as { run: string; watch: string }
    assert.is((await fetch(program.url + watch)).status, 200)
    await confirms(`${program.url}/jobs`, id)
  })
}

test('the route handler of Next.js hands its work to a service, once', async () => {
  await using program = await serve('dist/src/main.js', { TASKS_DIR: 'docs/examples/hosts/tasks' })
  process.env['FORERUNNER_URL'] = program.url
  const { POST } = await import('../../docs/examples/hosts/next.ts')
  const submit = () => POST(new Request('http://host/orders', { method: 'POST', body: '{"order":"42"}' }))
  const [first, second] = await Promise.all([submit(), submit()])
  assert.is(first.status, 202)
  const { run: id } = (await first.json()) as { run: string }
  assert.equal(await second.json(), { run: id })
  await confirms(program.url, id)
})

test('of two processes one answers and the other runs the jobs', async () => {
  await using schema = await makeSchema()
  const place = { DATABASE_URL: schema.url, DATABASE_SCHEMA: schema.name, TASKS_DIR: 'docs/examples/hosts/tasks' }
  const roles = blocksOf('docs/examples/two-machines/README.md').map(({ text: line }) => {
    const given = [...line.matchAll(/\b(?<name>ROLE|THREADS)=(?<value>\w+)/g)]
    return Object.fromEntries(given.map(({ groups }) => [groups?.['name'], groups?.['value']])) as Variables
  })
  assert.equal(
    roles.map(({ ROLE }) => ROLE),
    ['http', 'worker'],
  )
  await using stack = new AsyncDisposableStack()
  const [http] = await Promise.all(
    roles.map(async (role) => stack.use(await serve('dist/src/main.js', { ...place, ...role, THREADS: '1' }))),
  )
  const client = createClient({ baseUrl: http?.url ?? '' })
  const { result } = await client.runTasks({ tasks: [{ name: 'confirm', input: { order: '42' } }] })
  assert.is((result as { sent: string }).sent, '42')
})

test('the SQL of the documents runs', async () => {
  const server = await sharedPostgres()
  const admin = new Client({ connectionString: server.url })
  await admin.connect()
  await admin.query('CREATE DATABASE documents')
  const url = new URL('/documents', server.url).href
  const client = new Client({ connectionString: url })
  try {
    await client.connect()
    const first = blocksOf('docs/scaling.md').find(({ language }) => language === 'sql')
    await client.query(first?.text ?? '')
    // The first start creates the tables.
    await (await openPostgres({ url, name: 'forerunner' }))[Symbol.asyncDispose]()
    await client.query('CREATE ROLE app; CREATE TABLE orders (mail text)')
    for (const { text: sql } of allBlocks('sql')) if (sql !== first?.text) await client.query(sql)
    const { rows } = await client.query(
      'SELECT mail, (SELECT count(*)::integer FROM forerunner.inbox) AS asked FROM orders',
    )
    assert.equal(rows, [{ mail: 'ada@example.org', asked: 1 }])
  } finally {
    await client.end()
    await admin.query('DROP DATABASE documents WITH (FORCE)')
    await admin.query('DROP ROLE IF EXISTS forerunner, app')
    await admin.end()
  }
})

test.run()
