/** What search promises on every engine: what the index holds, how it follows the records, and when it forgets. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { claimOf } from '../../src/domain/claim.ts'
import { parseSearch } from '../../src/store/search-text.ts'
import type { RunFilter, Store } from '../../src/store/store.ts'
import { acceptAndClaim, claimOne, jobOf, runIdAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

export interface SearchPlace extends AsyncDisposable {
  /** Opens a store on what the last one has left, which was closed. */
  open(hasSearch?: boolean): Promise<AsyncDisposable & { readonly store: Store }>
}

export async function find(store: Store, q: string, filter: Partial<RunFilter> = {}): Promise<string[]> {
  const { runs } = await store.listRuns({ pageSize: 50, words: parseSearch(q), ...filter })
  return runs.map(({ id }) => id)
}

export async function found(
  store: Store,
  q: string,
  ids: readonly string[],
  filter: Partial<RunFilter> = {},
): Promise<void> {
  const wanted = JSON.stringify(ids)
  await until(`"${q}" finds ${wanted}`, async () => JSON.stringify(await find(store, q, filter)) === wanted)
}

/** Every page of a search. */
export async function pagesOf(store: Store, q: string, filter: Omit<RunFilter, 'words'>): Promise<string[][]> {
  const pages: string[][] = []
  for (let beforeId: string | undefined; ;) {
    const page = await store.listRuns({ ...filter, words: parseSearch(q), ...(beforeId !== undefined && { beforeId }) })
    pages.push(page.runs.map(({ id }) => id))
    beforeId = page.lastId ?? page.runs.at(-1)?.id
    if (!page.hasMore) return pages
  }
}

export const input = (value: unknown) => jobOf({ input: JSON.stringify(value), maxAttempts: 1 })

const long = 'A'.repeat(300)

/** Registers the contract's tests; the test file that calls it ends with `test.run()`. */
export function searchContract(name: string, makePlace: () => Promise<SearchPlace>): void {
  const register = (what: string, body: (place: SearchPlace) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      await using place = await makePlace()
      await body(place)
    })
  }

  register(
    'finds a run by its input, tags, task, id, result and error, by whole words and beginnings',
    async (place) => {
      await using scoped = await place.open()
      const { store } = scoped
      const run = runOf({
        jobs: [input({ note: 'Crème\nbrûlée "für" 東京 Йод µm ΛΌΓΟΣ x🤖y ₺9' }), jobOf({ task: 'mail' })],
        tags: ['order:42', "it's", long],
      })
      const other = runOf({ jobs: [input('something else')] })
      const claim = await acceptAndClaim(store, { ...run, jobs: run.jobs.slice(0, 1) }, start)
      await store.accept(other, start)
      await found(store, 'brulee creme', [run.id])
      const words = [
        'BRÛLÉE',
        'für',
        '東京',
        '東京*',
        'order:42',
        'order 42',
        'note:crè*',
        'echo brulee',
        'йод',
        'Μm',
        'λόγος',
      ]
      const more = [
        run.id,
        run.id.slice(-8),
        'brul*',
        'not* crème',
        'x',
        'y',
        '9',
        "it's",
        'IT',
        long.slice(0, 200) + '*',
      ]
      for (const q of [...words, ...more]) assert.equal(await find(store, q), [run.id], q)
      const none = [
        'brul',
        'brul\0x',
        'br*',
        'brulee else',
        'nbrûlée',
        'OR',
        'b AND c',
        'a"b',
        'note: z',
        '^brulee NEAR(',
      ]
      const noneEither = ['42:order', 'иод', '| creme & !w <->', 'x🤖z', 'a'.repeat(200)]
      for (const q of [...none, ...noneEither]) assert.equal(await find(store, q), [], q)
      assert.equal(await find(store, "brulee' & \\creme:*"), [run.id], 'signs are no syntax')
      await store.complete(claimOf(claim), JSON.stringify({ paid: 'seventeen' }), start)
      await found(store, 'seventeen', [run.id])
      assert.equal(await find(store, 'brulee'), [run.id], 'the words from before stay')
      const last = await claimOne(store, start)
      const error = { code: 'task_error', message: 'card_declined by the bank', name: 'PaymentError' } as const
      await store.fail(claimOf(last), error, null, start)
      await found(store, 'PaymentError card_declined', [other.id])
    },
  )

  register('finds a job by its error while it waits for its next attempt', async (place) => {
    await using scoped = await place.open()
    const { store } = scoped
    const run = runOf()
    const claim = await acceptAndClaim(store, run, start)
    await found(store, 'echo', [run.id])
    await store.fail(
      claimOf(claim),
      { code: 'task_error', message: `declined ${'x '.repeat(600)}` },
      start + 9e9,
      start,
    )
    await found(store, 'declined', [run.id])
  })

  register('narrows a search by the other filters, and pages through it', async (place) => {
    await using scoped = await place.open()
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
    assert.equal(await find(store, 'needle', { state: 'running', task: 'echo', tag: 'odd' }), [ids[1], ids[3], ids[5]])
    assert.equal(await find(store, 'needle', { task: 'none' }), [])
    assert.equal(await find(store, 'needle', { createdAfter: start + 2, createdBefore: start + 5 }), ids.slice(2, 4))
    assert.equal(await pagesOf(store, 'needle', { pageSize: 3 }), [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
  })

  register('a removed run, and a service without search, leave no words behind', async (place) => {
    const [gone, kept] = [runOf({ jobs: [input('forgotten')] }), runOf({ jobs: [input('remembered')] })]
    {
      await using scoped = await place.open()
      const { store } = scoped
      await store.accept(kept, start)
      await store.accept(gone, start)
      await found(store, 'forgotten', [gone.id])
      await store.cancel(gone.id, null, start)
      await store.remove(gone.id)
      assert.equal(await find(store, 'forgotten'), [])
    }
    {
      await using scoped = await place.open()
      const next = runOf({ jobs: [input('the next')] })
      await scoped.store.accept(next, start)
      await found(scoped.store, 'next', [next.id])
      assert.equal(await find(scoped.store, 'forgotten'), [])
    }
    await (await place.open(false))[Symbol.asyncDispose]()
    await using scoped = await place.open()
    assert.equal(await find(scoped.store, 'remembered'), [], 'it begins with nothing')
    await found(scoped.store, 'remembered', [kept.id])
  })

  register('the next start indexes runs that were committed and not yet indexed', async (place) => {
    const early = runOf({ jobs: [input('early')] })
    const late = runOf({ jobs: [input('late')] })
    {
      await using scoped = await place.open()
      const { store } = scoped
      const claim = await acceptAndClaim(store, early, start)
      await found(store, 'early', [early.id])
      await store.complete(claimOf(claim), '"ended"', start + 1)
      await store.accept(late, start + 2)
      assert.equal(await find(store, 'late'), [], 'the index follows later')
    }
    await using scoped = await place.open()
    await found(scoped.store, 'late', [late.id])
    await found(scoped.store, 'ended', [early.id])
  })

  register('of a large run and of a large text the beginning is found, and nothing that is secret', async (place) => {
    await using scoped = await place.open()
    const { store } = scoped
    const large = runOf({ jobs: [input(`beginning ${'x '.repeat(100_000)} ending`)] })
    const wide = runOf({ jobs: Array.from({ length: 100 }, (_, index) => input(`n${index} ${'y '.repeat(500)}`)) })
    const hidden = { password: 'hunter2', note: `visible ${'z '.repeat(400)}` }
    const secret = runOf({ jobs: [{ ...input(hidden), secret: ['input.password'] }] })
    await store.accept(large, start)
    await store.accept(wide, start)
    await store.accept(secret, start)
    await found(store, 'beginning', [large.id])
    await found(store, 'n3', [wide.id])
    await found(store, 'visible', [secret.id])
    assert.equal(await find(store, 'hunter2'), [])
    assert.equal(await find(store, 'ending'), [])
    assert.equal(await find(store, 'n99'), [])
  })
}
