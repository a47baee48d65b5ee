/** The index for search: what it holds, how it follows the records, and when it forgets. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { claimOf } from '../../src/domain/claim.ts'
import { parseSearch } from '../../src/domain/search.ts'
import type { RunFilter, Store } from '../../src/store/store.ts'
import { acceptAndClaim, claimOne, jobOf, runIdAt, runOf, start } from '../harness/store-run.ts'
import { sqliteStore, temporaryDirectory, type ScopedStore } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

async function open(path: string, hasSearch = true): Promise<ScopedStore> {
  const scoped = sqliteStore(path, 0, undefined, hasSearch)
  await scoped.store.open()
  return scoped
}

async function find(store: Store, q: string, filter: Partial<RunFilter> = {}): Promise<string[]> {
  const { runs } = await store.listRuns({ pageSize: 50, words: parseSearch(q), ...filter })
  return runs.map(({ id }) => id)
}

async function found(store: Store, q: string, ids: readonly string[], filter: Partial<RunFilter> = {}): Promise<void> {
  const wanted = JSON.stringify(ids)
  await until(`"${q}" finds ${wanted}`, async () => JSON.stringify(await find(store, q, filter)) === wanted)
}

const input = (value: unknown) => jobOf({ input: JSON.stringify(value), maxAttempts: 1 })

test('finds a run by its input, tags, task, id, result and error, by whole words and beginnings', async () => {
  await using scoped = await open(':memory:')
  const { store } = scoped
  const run = runOf({
    jobs: [input({ note: 'Crème\nbrûlée "für" 東京' }), jobOf({ task: 'mail' })],
    tags: ['order:42'],
  })
  const other = runOf({ jobs: [input('something else')] })
  const claim = await acceptAndClaim(store, { ...run, jobs: run.jobs.slice(0, 1) }, start)
  await store.accept(other, start)
  await found(store, 'brulee creme', [run.id])
  for (const q of [
    'BRÛLÉE',
    'für',
    '東京',
    'order:42',
    'echo brulee',
    run.id,
    run.id.slice(-8),
    'brul*',
    'not* crème',
  ]) {
    assert.equal(await find(store, q), [run.id], q)
  }
  for (const q of [
    'brul',
    'brul\0x',
    'br*',
    'brulee else',
    'nbrûlée',
    'OR',
    'b AND c',
    'a"b',
    'note: x',
    '^brulee NEAR(',
  ]) {
    assert.equal(await find(store, q), [], q)
  }
  await store.complete(claimOf(claim), JSON.stringify({ paid: 'seventeen' }), start)
  await found(store, 'seventeen', [run.id])
  assert.equal(await find(store, 'brulee'), [run.id], 'the words from before stay')
  const last = await claimOne(store, start)
  const error = { code: 'task_error', message: 'card_declined by the bank', name: 'PaymentError' } as const
  await store.fail(claimOf(last), error, null, start)
  await found(store, 'PaymentError card_declined', [other.id])
})

test('narrows a search by the other filters, and pages through it', async () => {
  await using scoped = await open(':memory:')
  const { store } = scoped
  const ids: string[] = []
  for (let index = 0; index < 7; index += 1) {
    const id = runIdAt(start + index)
    const tags = [index % 2 === 0 ? 'even' : 'odd']
    await store.accept(runOf({ id, jobs: [input('needle')], tags }), start + index)
    ids.unshift(id)
  }
  await found(store, 'needle', ids)
  assert.equal(await find(store, 'needle', { tag: 'odd' }), [ids[1], ids[3], ids[5]])
  assert.equal(await find(store, 'needle', { state: 'failed' }), [])
  assert.equal(await find(store, 'needle', { task: 'none' }), [])
  assert.equal(await find(store, 'needle', { createdAfter: start + 2, createdBefore: start + 5 }), ids.slice(2, 4))
  const pages: string[][] = []
  for (let beforeId: string | undefined; ;) {
    const words = parseSearch('needle')
    const page = await store.listRuns({ pageSize: 3, words, ...(beforeId !== undefined && { beforeId }) })
    pages.push(page.runs.map(({ id }) => id))
    beforeId = page.lastId ?? page.runs.at(-1)?.id
    if (!page.hasMore) break
  }
  assert.equal(pages, [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
})

test('a page ends where too many runs would have to be looked at, and names the place', async () => {
  await using scoped = await open(':memory:')
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

test('a forgotten run, and a service without search, leave no words behind', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const [gone, kept] = [runOf({ jobs: [input('forgotten')] }), runOf({ jobs: [input('remembered')] })]
  {
    await using scoped = await open(path)
    const { store } = scoped
    await store.accept(kept, start)
    await store.accept(gone, start)
    await found(store, 'forgotten', [gone.id])
    await store.cancel(gone.id, null, start)
    await store.remove(gone.id)
    assert.equal(await find(store, 'forgotten'), [])
  }
  {
    // The key of the run that was forgotten is given to this one.
    await using scoped = await open(path)
    const next = runOf({ jobs: [input('the next')] })
    await scoped.store.accept(next, start)
    await found(scoped.store, 'next', [next.id])
    assert.equal(await find(scoped.store, 'forgotten'), [])
  }
  await (await open(path, false))[Symbol.asyncDispose]()
  const database = new DatabaseSync(path)
  assert.equal(database.prepare("SELECT count(*) AS n FROM search WHERE search MATCH 'remembered'").get()?.['n'], 0)
  database.close()
  await using scoped = await open(path)
  await found(scoped.store, 'remembered', [kept.id])
})

test('what was committed and not yet in the index is brought in by the next start', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const early = runOf({ jobs: [input('early')] })
  const late = runOf({ jobs: [input('late')] })
  {
    await using scoped = await open(path)
    const { store } = scoped
    const claim = await acceptAndClaim(store, early, start)
    await found(store, 'early', [early.id])
    await store.complete(claimOf(claim), '"ended"', start + 1)
    await store.accept(late, start + 2)
    assert.equal(await find(store, 'late'), [], 'the index follows later')
  }
  await using scoped = await open(path)
  await found(scoped.store, 'late', [late.id])
  await found(scoped.store, 'ended', [early.id])
})

test('of a large run and of a large text the beginning is found, and nothing of it is held up', async () => {
  await using scoped = await open(':memory:')
  const { store } = scoped
  const large = runOf({ jobs: [input(`beginning ${'x '.repeat(100_000)} ending`)] })
  const wide = runOf({ jobs: Array.from({ length: 100 }, (_, index) => input(`n${index} ${'y '.repeat(500)}`)) })
  await store.accept(large, start)
  await store.accept(wide, start)
  await found(store, 'beginning', [large.id])
  await found(store, 'n3', [wide.id])
  assert.equal(await find(store, 'ending'), [])
  assert.equal(await find(store, 'n99'), [])
})

test.run()
