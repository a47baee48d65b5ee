/** One process owns a database file; another one gets in when the first has ended, however that happened. */
import { existsSync, linkSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rejects } from '../harness/rejects.ts'
import { startStoreProcess } from '../harness/store-process.ts'
import { entryAt, jobOf, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite, sqliteStore, temporaryDirectory } from '../harness/store-sqlite.ts'

const longWaitMs = 20_000

async function isInUse(path: string): Promise<void> {
  await using refused = sqliteStore(path)
  await rejects(refused.store.open(), 'BootError')
}

test('a second store on the same file is refused, and the first continues', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using first = await openSqlite(path)
  await using second = sqliteStore(path, 60)
  const error = await rejects(second.store.open(), 'BootError')
  assert.ok(error.message.includes(path), `names the path: ${error.message}`)
  const run = runOf()
  await first.store.accept(run, start)
  assert.is((await runIn(first.store, run.id)).version, 1)
})

test('the owner is found by any name of the file, however long', async () => {
  using directory = temporaryDirectory()
  const long = join(directory.path, ...Array.from({ length: 2 }, (_, index) => `${index}`.repeat(90)))
  const path = join(long, `${'x'.repeat(150)}.db`)
  await using first = await openSqlite(path)
  assert.is(first.store.backlog(), 0)
  const link = join(directory.path, 'link')
  symlinkSync(path, `${link}.db`)
  symlinkSync(long, link)
  for (const name of [path, `${link}.db`, join(link, basename(path))]) {
    // What any task can do: the lock is lost, and the owner is still seen.
    readFileSync(path)
    await using second = sqliteStore(name)
    const { message } = await rejects(second.store.open(), 'BootError')
    assert.match(message, new RegExp(`^process ${process.pid} `), name)
  }
})

test('a file can be opened if no socket can be created', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'x'.repeat(120), 'runs.db')
  const { TMPDIR } = process.env
  process.env['TMPDIR'] = join(directory.path, 'missing')
  try {
    // A thread of its own: a warm one has the environment of its start.
    await using scoped = sqliteStore(path)
    await scoped.store.open()
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
  }
})

test('a file with a second name is refused by each name, as long as it has two', async () => {
  using directory = temporaryDirectory()
  const names = ['runs.db', 'other.db'].map((name) => join(directory.path, name))
  const [path = '', other = ''] = names
  await (await openSqlite(path)).store.close()
  linkSync(path, other)
  for (const name of names) {
    await using refused = sqliteStore(name)
    const { message } = await rejects(refused.store.open(), 'BootError')
    assert.match(message, /2 names/)
  }
  rmSync(other)
  await using opened = await openSqlite(path)
  linkSync(path, other)
  // As by a backup in a task: the lock is lost, and the new name has no socket.
  readFileSync(path)
  await isInUse(other)
  assert.is(opened.store.backlog(), 0)
})

test('a file that another program has locked names that program', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await (await openSqlite(path)).store.close()
  await using other = await startStoreProcess(path)
  rmSync(`${path}-owner`)
  await using second = sqliteStore(path)
  const { message } = await rejects(second.store.open(), 'BootError')
  assert.match(message, existsSync('/proc/locks') ? new RegExp(`^process ${other.pid} `) : /^another process /)
})

test('a second store gets in when the first closes within its wait', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const run = runOf()
  await using first = await openSqlite(path)
  await first.store.accept(run, start)
  await using second = sqliteStore(path, longWaitMs)
  const opening = second.store.open()
  // It began later, so by then the second has found the file in use as well.
  await isInUse(path)
  await first.store.close()
  await opening
  assert.is((await runIn(second.store, run.id)).version, 1)
})

test('a store whose opening is under way can be closed', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using early = sqliteStore(path)
  const opening = early.store.open()
  await early.store.close()
  await opening
  await rejects(early.store.stats(start), 'store-unavailable')
  await using next = await openSqlite(path)
  assert.is(next.store.backlog(), 0)
})

test('stores in memory are independent of each other', async () => {
  await using one = await openSqlite(':memory:')
  await using other = await openSqlite(':memory:')
  const run = runOf()
  await one.store.accept(run, start)
  assert.is(await other.store.getRun(run.id), null)
})

test('the file of a living process is refused; once it is killed, everything that it acknowledged is there', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using other = await startStoreProcess(path)
  const run = runOf({ jobs: [jobOf({ task: 'done' }), jobOf({ task: 'held' }), jobOf({ delayMs: 1_000 })] })
  await other.call('accept', run, start)
  const { jobs } = await other.call('claim', requestAt(start))
  await other.call('complete', entryAt(jobs, 0), '"kept"', start + 1)
  const before = await other.call('getRun', run.id)
  await using successor = sqliteStore(path, longWaitMs)
  const { store } = successor
  const opening = store.open()
  await isInUse(path)
  await other.kill()
  await opening
  assert.equal(await store.getRun(run.id), before)
  assert.equal(await store.rescue(start + 2), { requeued: 1, crashed: 0, suspects: 0 })
  const rescued = await runIn(store, run.id)
  assert.equal(
    rescued.jobs.map(({ state }) => state),
    ['completed', 'queued', 'queued'],
  )
  assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 1, live: 2, lost: 0 })
})

test.run()
