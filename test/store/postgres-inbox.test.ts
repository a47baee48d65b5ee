/** Requests of the SQL function `run_tasks`: taken out of the inbox in the transaction that makes the run, by one process. */
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { instantOf, isRunId } from '../../src/domain/ids.ts'
import type { InboxRequest } from '../../src/store/store.ts'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, type Schema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { runIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

async function ask(schema: Schema, request: unknown = {}): Promise<string> {
  const [row] = await schema.query<{ id: string }>('SELECT run_tasks($1) AS id', [JSON.stringify(request)])
  return row?.id ?? ''
}

async function take(store: Store, work: (requests: readonly InboxRequest[]) => Promise<void>, maxBytes = 1_000) {
  return store.inbox?.take({ except: [], maxBytes }, work)
}

async function waiting(schema: Schema): Promise<string[]> {
  return (await schema.query<{ id: string }>('SELECT id FROM inbox ORDER BY id')).map(({ id }) => id)
}

test('a read finds a run that is accepted during its look into the inbox', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  const known = runOf({ respond: 'none' })
  await store.accept(known, start)
  const id = await ask(schema)
  await using other = Object.assign(new Client({ connectionString: schema.url }), {
    [Symbol.asyncDispose]: () => other.end(),
  })
  await other.connect()
  await other.query(`SET search_path TO "${schema.name}"`)
  await other.query('BEGIN')
  await other.query('LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE')
  const reading = store.getRun(id)
  await until('the read waits for the inbox', async () => {
    const [row] = await schema.query<{ waiters: string }>(
      "SELECT count(*) AS waiters FROM pg_locks WHERE NOT granted AND relation = 'inbox'::regclass",
    )
    return Number(row?.waiters) > 0
  })
  await other.query('DELETE FROM inbox')
  // The record of a run does not have its id.
  await other.query(
    "INSERT INTO record SELECT (jsonb_populate_record(one, jsonb_build_object('id', $1::uuid))).* FROM record AS one WHERE id = $2",
    [id, known.id],
  )
  await other.query('COMMIT')
  assert.is((await reading)?.id, id)
})

test('one of several processes that handle the same request makes the run', async () => {
  await using schema = await lendSchema()
  await using one = await openPostgres(schema)
  await using other = await openPostgres(schema)
  const stores = [one.store, other.store]
  const ids = [await ask(schema), await ask(schema, { tags: ['x'] }), await ask(schema)]
  assert.equal([ids.toSorted(), ids.every(isRunId)], [ids, true], 'ids of one caller grow')
  assert.ok(Math.abs(instantOf(ids[0] ?? '') - Date.now()) < 60_000)
  const accepting = stores.flatMap((store) =>
    ids.map((id) => store.accept(runOf({ id, isFromInbox: true, respond: 'none' }), start)),
  )
  const results = (await Promise.all(accepting)).map(({ result }) => result)
  assert.equal(results.toSorted(), ['accepted', 'accepted', 'accepted', 'replayed', 'replayed', 'replayed'])
  assert.equal(await waiting(schema), [])
  const { runs } = await one.store.listRuns({ pageSize: 9 })
  assert.equal(
    runs.map(({ id }) => id),
    ids.toReversed(),
  )
  assert.is((await one.store.stats(start)).conservation.accepted, 3)
})

test('one process at a time handles requests, and rejected ones stay in the inbox', async () => {
  await using schema = await lendSchema()
  await using one = await openPostgres(schema)
  await using other = await openPostgres(schema)
  const ids = [await ask(schema, { tags: ['ä'] }), await ask(schema, { tags: ['x'.repeat(2_000)] })]
  let seen: readonly InboxRequest[] = []
  const failure = new Error('it ends in the middle')
  const taking = take(one.store, async (requests) => {
    seen = requests
    assert.is(await take(other.store, async () => {}), false, 'another one is at it')
    throw failure
  })
  await taking?.then(
    () => assert.unreachable(),
    (error: unknown) => assert.is(error, failure),
  )
  assert.equal(seen, [
    { id: ids[0], text: '{"tags": ["ä"]}' },
    { id: ids[1], text: null },
  ])
  assert.equal(await waiting(schema), ids)
  const again = () =>
    take(other.store, async (requests) => {
      assert.equal(requests, seen)
    })
  // The server needs a moment to see that the connection of the one that failed is closed.
  await until('the other one gets them', again)
})

test('a commit notifies processes of requests, and each process also looks once a second', async () => {
  await using schema = await lendSchema()
  await using scoped = await openPostgres(schema)
  const { store } = scoped
  let calls = 0
  store.inbox?.onRequests(() => (calls += 1))
  await ask(schema)
  await until('it has heard', () => calls > 0)
  const before = calls
  await until('it looks again while one waits', () => calls > before)
})

test('a read of a requested run makes a process create it, and is refused while there is no room', async () => {
  await using schema = await lendSchema()
  await using scoped = await openPostgres(schema)
  const { store } = scoped
  const id = await ask(schema)
  const reads = [store.getRun(id), store.getJob(id, 0), store.getInput(id, 0)]
  const codes = reads.map((read) => read.catch((error: unknown) => Reflect.get(Object(error), 'code')))
  assert.equal(await Promise.all(codes), ['overloaded', 'overloaded', 'overloaded'])
  const accept = (): void => void store.accept(runOf({ id, isFromInbox: true }), start).catch(() => {})
  store.inbox?.onRequests(accept)
  assert.is(await store.cancel(id, null, start), 'cancelled')
  assert.is((await runIn(store, id)).state, 'cancelled')
})

test.run()
