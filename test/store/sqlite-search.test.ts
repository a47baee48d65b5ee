/** SQLite's search index: the contract of search, and what only this engine does. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSearch } from '../../src/store/search-text.ts'
import { openDatabase } from '../../src/store/sqlite/connection/database.ts'
import { createIndexWriter } from '../../src/store/sqlite/search-index.ts'
import { createGroupCommit } from '../../src/store/sqlite/writing/group-commit.ts'
import { createTransaction } from '../../src/store/sqlite/writing/transaction.ts'
import { requestAt, runIdAt, runOf, start } from '../harness/store-run.ts'
import { sqliteStore, temporaryDirectory } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'
import { find, found, input, searchContract, type SearchPlace } from './search-contract.ts'

function placeIn(path: string): Pick<SearchPlace, 'open'> {
  return {
    async open(hasSearch = true) {
      const scoped = sqliteStore(path, 0, undefined, hasSearch)
      await scoped.store.open()
      return scoped
    },
  }
}

searchContract('SQLite', async () => {
  const directory = temporaryDirectory()
  const dispose = async (): Promise<void> => directory[Symbol.dispose]()
  return { ...placeIn(join(directory.path, 'runs.db')), [Symbol.asyncDispose]: dispose }
})

test('a page ends when too many runs would have to be checked, with a token for the next one', async () => {
  await using scoped = await placeIn(':memory:').open()
  const { store } = scoped
  const runs = Array.from({ length: 2_050 }, (_, index) =>
    runOf({ id: runIdAt(start + index), jobs: [input('common')], tags: index === 3 ? ['rare'] : [] }),
  )
  await Promise.all(runs.map((run) => store.accept(run, start)))
  await found(store, 'common', [runs[2_049]?.id ?? ''], { pageSize: 1 })
  await found(store, 'common', [runs[0]?.id ?? ''], { createdBefore: start + 1 })
  const filter = { pageSize: 5, tag: 'rare', words: parseSearch('common') }
  const first = await store.listRuns(filter)
  assert.equal([first.runs.length, first.hasMore], [0, true])
  const second = await store.listRuns({ ...filter, beforeId: first.lastId ?? '' })
  assert.equal([second.runs.map(({ id }) => id), second.hasMore], [[runs[3]?.id], false])
})

test('a run that was accepted after a newer one is found by the time of its creation only', async () => {
  await using scoped = await placeIn(':memory:').open()
  const { store } = scoped
  const [newer, older] = [2, 1].map((at) => runOf({ id: runIdAt(start + at), jobs: [input('common')] }))
  if (newer === undefined || older === undefined) throw new Error('two runs')
  await store.accept(newer, start)
  await store.accept(older, start)
  await found(store, 'common', [older.id, newer.id])
  assert.equal(await find(store, 'common', { createdAfter: start + 1 }), [newer.id])
})

test('without search, the file holds no words', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const place = placeIn(path)
  {
    await using scoped = await place.open()
    const kept = runOf({ jobs: [input('remembered')] })
    await scoped.store.accept(kept, start)
    await found(scoped.store, 'remembered', [kept.id])
  }
  await (await place.open(false))[Symbol.asyncDispose]()
  const database = new DatabaseSync(path)
  assert.equal(database.prepare("SELECT count(*) AS n FROM search WHERE search MATCH 'remembered'").get()?.['n'], 0)
  database.close()
})

test('the end of a run is indexed although its removal was rolled back, and another run was removed', async () => {
  const { database } = await openDatabase({ path: ':memory:', waitMs: 0, onWait() {} })
  const transaction = createTransaction(database, { hasSearch: true })
  const { searchIndex, records, payloads } = transaction
  assert.ok(searchIndex)
  const write = (work: () => void): void => work()
  const failures: string[] = []
  const onFailure = (message: string): void => void failures.push(message)
  const writer = createIndexWriter(database, searchIndex, { records, payloads, write, onFailure })
  const commit = createGroupCommit(database, transaction)
  const finds = (q: string) => (): boolean =>
    searchIndex.find(parseSearch(q), { from: 0, below: 10, limit: 10 }).length === 1
  const [run, other] = [runOf({ jobs: [input('beginning')] }), runOf()]
  commit([
    { verb: 'accept', args: [run, start] },
    { verb: 'accept', args: [other, start] },
    { verb: 'claim', args: [requestAt(start)] },
  ])
  writer.wake()
  await until('the run is indexed', finds('beginning'))

  commit([{ verb: 'cancel', args: [other.id, null, start] }])
  commit([{ verb: 'remove', args: [other.id] }])
  commit([{ verb: 'complete', args: [{ runId: run.id, jobIndex: 0, claim: 1 }, '"ending"', start] }])
  database.exec(`PRAGMA max_page_count = ${Number(database.prepare('PRAGMA page_count').get()?.['page_count'])}`)
  const large = runOf({ jobs: [input('x'.repeat(100_000))] })
  const { replies } = commit([
    { verb: 'remove', args: [run.id] },
    { verb: 'accept', args: [large, start] },
  ])
  assert.equal(
    replies.map(({ ok }) => ok),
    [false, false],
  )
  database.exec('PRAGMA max_page_count = 1000000')
  writer.wake()
  await until('the end is found', finds('ending'))
  assert.equal(failures, [])
  writer.stop()
  database.close()
})

test.run()
