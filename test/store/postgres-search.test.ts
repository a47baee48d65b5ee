/** PostgreSQL's index for search: the contract of both engines, and tests of its own. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSearch } from '../../src/store/search-text.ts'
import type { RunFilter } from '../../src/store/store.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { postgresStore, type ScopedStore } from '../harness/store-postgres.ts'
import { runIdAt, runOf, start } from '../harness/store-run.ts'
import { find, found, input, pagesOf, searchContract } from './search-contract.ts'

async function open(schema: Schema, hasSearch = true): Promise<ScopedStore> {
  const scoped = postgresStore(schema, {}, undefined, hasSearch)
  await scoped.store.open()
  return scoped
}

searchContract('PostgreSQL', async () => {
  const schema = await makeSchema()
  return {
    open: (hasSearch) => open(schema, hasSearch),
    [Symbol.asyncDispose]: () => schema[Symbol.asyncDispose](),
  }
})

const runs = 25_000
const newest = start + runs

test('finds rare and common words among many runs, in pages that cost a bounded number of rows', async () => {
  await using schema = await makeSchema()
  await using scoped = await open(schema)
  const { store } = scoped
  const [first, last] = [runIdAt(start), runIdAt(newest)]
  await store.accept(runOf({ id: first, jobs: [input('rarest')], tags: ['rare'] }), start)
  await store.accept(runOf({ id: last, jobs: [input('latest')] }), newest)
  await found(store, 'rarest', [first])
  await found(store, 'latest', [last])
  // Runs between these two, as the service would have written them: the older ones with a word that the newer have not.
  await schema.query(`
    CREATE TABLE made AS SELECT at, format('%s-%s-7000-8000-000000000000',
      lpad(to_hex(at / 65536), 8, '0'), lpad(to_hex(at % 65536), 4, '0'))::uuid AS id
    FROM generate_series(${start + 1}::bigint, ${newest - 1}) AS at;
    INSERT INTO record SELECT made.id, state, version, revision, jobs, held, finished_at, record
    FROM record, made WHERE record.id = '${first}';
    INSERT INTO search SELECT id, 1, concat_ws(' ', 'common:1',
      CASE WHEN at < ${newest - 3_000} THEN 'old:2' END, CASE WHEN at % 100 = 0 THEN 'hundredth:3' END)::tsvector
    FROM made`)
  const idsOf = async (q: string, filter: Partial<RunFilter>): Promise<string[]> =>
    (await pagesOf(store, q, { pageSize: 100, ...filter })).flat()
  const between = { createdAfter: start + 20_000, createdBefore: newest - 2_000 }

  assert.equal(await find(store, 'rarest'), [first])
  assert.equal(await find(store, 'nothing'), [])
  assert.is((await find(store, 'common', { pageSize: 3 })).length, 3)
  assert.is((await find(store, 'old', { pageSize: 3 })).length, 3, 'there are too many for the index')
  const hundredth = await idsOf('hundredth common', {})
  assert.equal([hundredth.length, new Set(hundredth).size], [249, 249])
  assert.equal(hundredth, hundredth.toSorted().toReversed(), 'newest first')
  assert.equal(await idsOf('hundredth', between), hundredth.slice(20, 49))
  assert.equal(new Set(await idsOf('old', between)).size, 1_999)
  assert.equal(await idsOf('common', { tag: 'rare' }), [])
  const short = await store.listRuns({ pageSize: 9, tag: 'rare', words: parseSearch('common') })
  assert.equal([short.runs.length, short.hasMore], [0, true], 'no page looks at all of them')
})

test.run()
