/** Opening a schema: the first process creates it, and its use requires few rights. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { startPostgresPooler } from '../harness/postgres-pooler.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres, postgresStore } from '../harness/store-postgres.ts'
import { acceptAndClaim, runIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const quick = { roundMs: 20 }

/** The address for a role that may only read and write the tables of the owner. */
async function addRole(schema: Schema): Promise<{ readonly url: string } & AsyncDisposable> {
  const role = `role_${schema.name}`
  await schema.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
  await schema.query(`GRANT USAGE ON SCHEMA ${schema.name} TO ${role}`)
  await schema.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema.name} TO ${role}`)
  const url = new URL(schema.url)
  url.username = role
  url.password = 'secret'
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await schema.query(`DROP OWNED BY ${role}`)
      await schema.query(`DROP ROLE ${role}`)
    },
  }
}

test('a role that may only read and write rows can do everything once the tables are there', async () => {
  await using schema = await makeSchema()
  const owner = await openPostgres(schema)
  await owner.store.complete(await acceptAndClaim(owner.store, runOf(), start - 9), '1', start - 8)
  assert.is(await owner.store.prune(start, 10, start), 1)
  await owner.store.close()
  await using role = await addRole(schema)
  await using opened = await openPostgres({ url: role.url, name: schema.name }, quick)
  const { store } = opened
  const idempotency = { scope: '', key: 'k', bodyDigest: 'd', isDeferred: false }
  const claim = await acceptAndClaim(store, runOf({ tags: ['t', 't', '\0'], idempotency }), start)
  await store.defer(claim.runId)
  assert.is(await store.complete(claim, '1', start), 'settled')
  assert.is((await runIn(store, claim.runId)).state, 'completed')
  assert.is(await store.prune(start + 1, 10, start), 1)
  const left = await schema.query('SELECT tag FROM run_tag UNION ALL SELECT task FROM run_task')
  assert.equal(left, [], 'what it was listed by is gone with it')
  assert.equal(await store.rescue(start), { requeued: 0, crashed: 0, suspects: 0 })
  // The totals of the owner, who has left, are added to those of all who have.
  await until('they are', async () => (await schema.query('SELECT 1 FROM tally WHERE process = 0')).length === 1)
  assert.equal((await store.stats(start)).conservation, { accepted: 2, final: 2, live: 0, lost: 0 })
})

test('a missing schema that the role may not create is refused with the name of the database', async () => {
  await using schema = await makeSchema()
  await schema.query(`CREATE SCHEMA ${schema.name}`)
  await using role = await addRole(schema)
  await using store = postgresStore({ url: role.url, name: `${schema.name}_other` })
  const { message } = await rejects(store.store.open(), 'BootError')
  assert.ok(message.includes(new URL(role.url).host), message)
  assert.not.ok(message.includes('secret'), message)
})

test('the start waits for an unreachable server only as long as configured', async () => {
  await using store = postgresStore({ url: 'postgres://127.0.0.1:1/none', name: 'none' })
  await rejects(store.store.open(), 'BootError')
  await rejects(store.store.stats(start), 'store-unavailable')
})

for (const sessions of [1, 2, 5]) {
  test(`a pooler of ${sessions} that gives each transaction another session is refused, with the remedy`, async () => {
    await using schema = await makeSchema()
    await using pooler = await startPostgresPooler(schema.url, sessions)
    await using store = postgresStore({ url: pooler.url, name: schema.name })
    const { message } = await rejects(store.store.open(), 'BootError')
    assert.ok(message.includes('pool_mode = session'), message)
    assert.ok(message.includes(new URL(pooler.url).host), message)
    assert.not.ok(message.includes('\n'))
  })
}

test('two services in one database do not affect each other', async () => {
  await using schemas = new AsyncDisposableStack()
  const [one, other] = [schemas.use(await makeSchema()), schemas.use(await makeSchema())]
  await using first = await openPostgres(one, quick)
  await using second = await openPostgres(other, quick)
  let changes = 0
  second.store.onChange(() => (changes += 1))
  const claim = await acceptAndClaim(first.store, runOf(), start)
  await first.store.complete(claim, '1', start)
  // A change of its own, behind which one of the other would have come.
  await acceptAndClaim(second.store, runOf(), start)
  await until('it is told', () => changes > 0)
  assert.is(changes, 1)
  assert.is(second.store.backlog(), 1)
  assert.is(await second.store.getRun(claim.runId), null)
})

test.run()
