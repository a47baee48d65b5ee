/** Whoever watches a run is shown each newest state of it, and all of them together cost one read. */
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createFeed, createRunWatch, type Snapshot } from '../../src/feed/feed.ts'
import type { Store } from '../../src/store/store.ts'
import { claimOne, jobOf, requestAt, runOf, start } from '../harness/store-run.ts'
import { openSqlite } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

/** A store with one run of so many jobs, and a watch that reads by `read`. */
async function watched(jobCount = 3, readBy: (store: Store) => Store['getRun'] = ({ getRun }) => getRun) {
  const { store, ...scoped } = await openSqlite(':memory:')
  const feed = createFeed()
  store.onChange(feed.publish)
  const run = runOf({ jobs: Array.from({ length: jobCount }, () => jobOf()) })
  await store.accept(run, start)
  let reads = 0
  const getRun = readBy(store)
  const { watch } = createRunWatch(feed, {
    getRun(id) {
      reads += 1
      return getRun(id)
    },
  })
  return { store, feed, watch, id: run.id, reads: () => reads, ...scoped }
}

const versionOf = (snapshot: Snapshot) => (snapshot.kind === 'run' ? snapshot.run.version : snapshot.kind)

test('shows the run as it is, and then each change', async () => {
  await using subject = await watched(1)
  const { store, watch, id } = subject
  const seen: Snapshot[] = []
  watch(id, (sight) => seen.push(sight))
  await until('it is shown', () => seen.length === 1)
  const claim = await claimOne(store, start)
  await until('the claim is shown', () => seen.length === 2)
  await store.complete(claim, '1', start)
  await until('the end is shown', () => seen.length === 3)
  assert.equal(seen.map(versionOf), [1, 2, 3])
  assert.equal(
    seen.map((sight) => sight.kind === 'run' && sight.run.state),
    ['running', 'running', 'completed'],
  )
})

test('reads once for however many watch, and shows all of them the same object', async () => {
  await using subject = await watched(1)
  const { store, watch, id, reads, feed } = subject
  const seen = Array.from({ length: 100 }, (): Snapshot[] => [])
  for (const sights of seen) watch(id, (sight) => sights.push(sight))
  await until('everybody is shown it', () => seen.every(({ length }) => length === 1))
  assert.is(feed.size(), 1)
  const before = reads()
  assert.ok(before <= 2, `${before} reads for the first sight`)
  await claimOne(store, start)
  await until('everybody is shown the change', () => seen.every(({ length }) => length === 2))
  assert.is(reads(), before + 1)
  const objects = new Set(seen.map(([, sight]) => (sight?.kind === 'run' ? sight.run : null)))
  assert.is(objects.size, 1)
  const later: Snapshot[] = []
  watch(id, (sight) => later.push(sight))
  await until('who comes later is shown it too', () => later.length === 1)
  assert.ok(later[0]?.kind === 'run' && objects.has(later[0].run), 'what is made of a version is made once')
})

test('the newest state is shown even if it changes during a read, and versions only grow', async () => {
  await using subject = await watched(50)
  const { store, watch, id, reads } = subject
  const seen: Snapshot[] = []
  watch(id, (sight) => seen.push(sight))
  const { jobs } = await store.claim(requestAt(start))
  await Promise.all(jobs.map((job) => store.complete(job, '1', start)))
  await until('the end is shown', () => seen.some((sight) => sight.kind === 'run' && sight.run.state === 'completed'))
  const versions = seen.map((sight) => (sight.kind === 'run' ? sight.run.version : -1))
  assert.is(versions.at(-1), (await store.getRun(id))?.version)
  assert.equal(
    versions,
    [...new Set(versions)].toSorted((a, b) => a - b),
  )
  assert.ok(reads() < 50, `${reads()} reads for a hundred changes that came together`)
})

test('a watcher that starts during a read gets the result of a later read', async () => {
  const reading = Promise.withResolvers<void>()
  await using subject = await watched(1, ({ getRun }) => async (id) => {
    const run = await getRun(id)
    await reading.promise
    return run
  })
  const { store, watch, id } = subject
  const [early, late]: [Snapshot[], Snapshot[]] = [[], []]
  watch(id, (sight) => early.push(sight))
  // In a group of its own: what is asked for together with a claim is read after it.
  await store.getRun(id)
  await claimOne(store, start)
  watch(id, (sight) => late.push(sight))
  reading.resolve()
  await until('both have seen the claim', () =>
    [early, late].every((sights) => versionOf(sights.at(-1) ?? { kind: 'gone' }) === 2),
  )
  assert.equal(early.map(versionOf), [1, 2])
  assert.equal(late.map(versionOf), [2])
})

test('shows nothing after the end of a watch, even in the middle of a read', async () => {
  await using subject = await watched(1)
  const { store, watch, id, feed } = subject
  const seen: string[] = []
  const ends = ['a', 'b'].map((name) => watch(id, (sight) => seen.push(`${name}${versionOf(sight)}`)))
  ends[0]?.()
  await until('the other one is shown it', () => seen.length > 0)
  await claimOne(store, start)
  await until('it is shown the change', () => seen.length > 1)
  assert.equal(seen, ['b1', 'b2'])
  for (const end of ends) end()
  assert.is(feed.size(), 0)
  watch(id, (sight) => seen.push(`c${versionOf(sight)}`))
  for (const end of ends) end()
  await until('the next one is shown it', () => seen.length > 2)
  assert.is(seen.at(-1), 'c2')
  assert.is(feed.size(), 1)
})

test('a run that is slow to read and changes without end is read for a quarter of the time', async () => {
  const readMs = 10
  await using subject = await watched(1, ({ getRun }) => async (id) => {
    const [run] = await Promise.all([getRun(id), pause(readMs)])
    return run
  })
  const { store, watch, id, reads } = subject
  const seen: Snapshot[] = []
  watch(id, (sight) => seen.push(sight))
  const startedAt = performance.now()
  while (performance.now() - startedAt < 400) await store.release(await claimOne(store, start), start)
  const most = (performance.now() - startedAt) / (4 * (readMs - 1)) + 2
  assert.ok(reads() <= most, `${reads()} reads, and ${most} at the most`)
  const { version } = (await store.getRun(id)) ?? {}
  await until('the newest state is shown', () => versionOf(seen.at(-1) ?? { kind: 'gone' }) === version)
})

test('reports a run that does not exist, or no longer exists', async () => {
  await using subject = await watched(1)
  const { store, watch, id } = subject
  const seen: unknown[] = []
  watch('00000000-0000-7000-8000-000000000000', (sight) => seen.push(sight))
  await until('it is said', () => seen.length === 1)
  watch(id, (sight) => seen.push(versionOf(sight)))
  await until('the run is shown', () => seen.length === 2)
  await Promise.all([store.cancel(id, null, start), store.remove(id)])
  await until('its end is said', () => seen.at(-1) === 'gone')
  assert.equal(seen[0], { kind: 'gone' })
})

test('reports a failed read, and continues with the next change', async () => {
  let fails = true
  await using subject = await watched(
    1,
    ({ getRun }) =>
      (id) =>
        fails ? Promise.reject(new Error('no')) : getRun(id),
  )
  const { store, watch, id } = subject
  const seen: (number | string)[] = []
  watch(id, (sight) => seen.push(versionOf(sight)))
  await until('it is said', () => seen.length === 1)
  fails = false
  await claimOne(store, start)
  await until('the change is shown', () => seen.length === 2)
  assert.equal(seen, ['failed', 2])
})

test.run()
