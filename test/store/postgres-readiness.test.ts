/** Whether a store reports that it cannot commit, and that it can again; and its errors. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AppError } from '../../src/domain/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { startPostgresProxy } from '../harness/postgres-proxy.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const quick = { roundMs: 50, renewMs: 100, unreadyMs: 200 }
const isReady = (store: Store): Promise<boolean> =>
  store.checkWritable().then(
    () => true,
    () => false,
  )

async function checkOutage(store: Store, begin: () => Promise<unknown>, end: () => Promise<unknown>): Promise<void> {
  await store.checkWritable()
  await begin()
  try {
    await until('it is not ready', async () => !(await isReady(store)))
    const error = await rejects(store.accept(runOf(), start), 'store-unavailable')
    for (const detail of ['127.0.0.1', 'SELECT', 'INSERT', 'permission', 'role_']) {
      assert.not.ok(error.message.includes(detail), error.message)
    }
    assert.ok((error as AppError).cause, 'the log is told')
    assert.not.ok(await isReady(store))
  } finally {
    await end()
  }
  await until('it is ready again', () => isReady(store))
  assert.is((await store.accept(runOf(), start)).result, 'accepted')
}

test('a server that takes no writes', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const change = async (how: string): Promise<void> => {
    await schema.query(`ALTER SYSTEM ${how}`)
    await schema.query('SELECT pg_reload_conf()')
  }
  await checkOutage(
    opened.store,
    () => change('SET default_transaction_read_only = on'),
    () => change('RESET default_transaction_read_only'),
  )
})

for (const table of ['record', 'queue']) {
  test(`a role that may no longer write the table ${table}`, async () => {
    await using schema = await makeSchema()
    const owner = await openPostgres(schema)
    await owner.store.close()
    await using role = await addRole(schema)
    await using opened = await openPostgres({ url: role.url, name: schema.name }, quick)
    await checkOutage(
      opened.store,
      () => schema.query(`REVOKE INSERT, UPDATE ON ${table} FROM ${role.name}`),
      () => schema.query(`GRANT INSERT, UPDATE ON ${table} TO ${role.name}`),
    )
  })
}

test('a role that may not write one of the tables', async () => {
  await using schema = await makeSchema()
  const owner = await openPostgres(schema)
  await owner.store.close()
  await using role = await addRole(schema)
  await using opened = await openPostgres({ url: role.url, name: schema.name }, { ...quick, roundMs: 1, unreadyMs: 0 })
  const found = await schema.query<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'schema_version'",
  )
  for (const { name } of found) {
    await schema.query(`REVOKE INSERT ON ${name} FROM ${role.name}`)
    await until(`it is not ready without ${name}`, async () => !(await isReady(opened.store)))
    await schema.query(`GRANT INSERT ON ${name} TO ${role.name}`)
    await until(`it is ready with ${name}`, () => isReady(opened.store))
  }
})

test('a server that cannot be reached', async () => {
  await using schema = await makeSchema()
  await using proxy = await startPostgresProxy(schema.url)
  await using opened = await openPostgres({ ...schema, url: proxy.url }, { ...quick, unknownCommitMs: 200 })
  await checkOutage(
    opened.store,
    async () => proxy.judge(() => 'cut-before'),
    async () => proxy.judge(() => 'pass'),
  )
})

test('a store is not ready for some seconds after a failed commit, even if the next one succeeds', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, { unreadyMs: 2_000 })
  const { store } = opened
  // As a disk that is full but for the smallest writes.
  await schema.query(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''no space left'' USING ERRCODE = ''53100''; END'`)
  await schema.query('CREATE TRIGGER full_disk BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION fail()')
  await store.checkWritable()
  await rejects(store.accept(runOf(), start), 'store-unavailable')
  await rejects(store.checkWritable(), 'store-unavailable')
  await schema.query('DROP TRIGGER full_disk ON record')
  assert.is((await store.accept(runOf(), start)).result, 'accepted')
  await until('it is ready again', () => isReady(store))
})

test('concurrent probes share one write, and a probe right after a commit writes nothing', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  // Each transaction that has written something has taken a number.
  const commits = async (): Promise<string> => {
    const [row] = await schema.query<{ xid: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid')
    return row?.xid ?? ''
  }
  await store.accept(runOf(), start)
  const before = await commits()
  await Promise.all(Array.from({ length: 50 }, () => store.checkWritable()))
  assert.is(await commits(), before)
})

/** A role that may only read and write rows: missing rights do not stop the owner of the server. */
async function addRole(schema: Schema): Promise<{ readonly url: string; readonly name: string } & AsyncDisposable> {
  const name = `role_${schema.name}`
  await schema.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'`)
  await schema.query(`GRANT USAGE ON SCHEMA ${schema.name} TO ${name}`)
  await schema.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema.name} TO ${name}`)
  const url = Object.assign(new URL(schema.url), { username: name, password: 'secret' })
  return {
    url: url.href,
    name,
    async [Symbol.asyncDispose]() {
      await schema.query(`DROP OWNED BY ${name}`)
      await schema.query(`DROP ROLE ${name}`)
    },
  }
}

test.run()
