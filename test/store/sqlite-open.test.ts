/** What a database file must be, and the errors of one that cannot be opened. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rejects } from '../harness/rejects.ts'
import { runIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite, sqliteStore, temporaryDirectory } from '../harness/store-sqlite.ts'

/** Opening must be refused with an error that names the path; the store is then closed like any other. */
async function isRefused(path: string): Promise<void> {
  await using refused = sqliteStore(path)
  const error = await rejects(refused.store.open(), 'BootError')
  assert.ok(error.message.includes(path), `names the path: ${error.message}`)
  await rejects(refused.store.stats(start), 'store-unavailable')
}

test('a missing file is made, and so are its directories', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'a', 'b', 'runs.db')
  const run = runOf()
  {
    await using opened = await openSqlite(path)
    await opened.store.accept(run, start)
  }
  await using reopened = await openSqlite(path)
  assert.is((await runIn(reopened.store, run.id)).version, 1)
})

test('a file can have any name', async () => {
  using directory = temporaryDirectory()
  for (const name of ['with space.db', 'a?mode=memory', '100%25#1.db', 'Läufe-\u{1f680}.db', "it's"]) {
    const path = join(directory.path, name)
    const run = runOf()
    {
      await using opened = await openSqlite(path)
      await opened.store.accept(run, start)
    }
    await using reopened = await openSqlite(path)
    assert.is((await runIn(reopened.store, run.id)).version, 1, name)
  }
})

test('verbs before the store is open reject', async () => {
  await using unopened = sqliteStore(':memory:')
  await rejects(unopened.store.accept(runOf(), start), 'store-unavailable')
})

test('a file that is no database is refused and left as it is', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'notes.txt')
  const text = 'no database, but more than a hundred bytes of text. '.repeat(100)
  writeFileSync(path, text)
  await isRefused(path)
  assert.is(readFileSync(path, 'utf8'), text)
})

test('a directory is refused', async () => {
  using directory = temporaryDirectory()
  await isRefused(directory.path)
})

test('a path below a file is refused', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'file')
  writeFileSync(file, '')
  await isRefused(join(file, 'runs.db'))
})

test('a path in which no directory can be created is refused', async () => {
  await isRefused('/proc/nope/runs.db')
})

const isRoot = process.getuid?.() === 0
if (isRoot) console.log('skipped: no directory is closed to root')
const ordinaryUserTest = isRoot ? test.skip : test

ordinaryUserTest('a directory that cannot be written to is refused', async () => {
  using directory = temporaryDirectory()
  const locked = join(directory.path, 'locked')
  mkdirSync(locked, { mode: 0o500 })
  await isRefused(join(locked, 'runs.db'))
  await isRefused(join(locked, 'below', 'runs.db'))
})

test('a database that a newer version wrote is refused', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const { store } = await openSqlite(path)
  await store.close()
  withDatabase(path, (database) => database.exec('PRAGMA user_version = 1000'))
  await isRefused(path)
  withDatabase(path, (database) => assert.is(pragma(database, 'user_version'), 1000))
})

test('a database of another program is refused and left as it is', async () => {
  using directory = temporaryDirectory()
  for (const version of [0, 1, 1000]) {
    const path = join(directory.path, `theirs-${version}.db`)
    withDatabase(path, (database) =>
      database.exec(`CREATE TABLE theirs (id INTEGER); PRAGMA user_version = ${version}`),
    )
    const before = readFileSync(path)
    await isRefused(path)
    assert.ok(readFileSync(path).equals(before), `schema version ${version}`)
  }
})

test('closes once, also after a call that resolves within its own turn', async () => {
  using directory = temporaryDirectory()
  for (let round = 0; round < 5; round += 1) {
    const opened = await openSqlite(join(directory.path, `${round}.db`))
    await opened.store.accept(runOf(), start)
    const { promise, resolve } = Promise.withResolvers<void>()
    // In the phase of timers, so that the answer is heard before the question's turn ends.
    setTimeout(() => {
      const asked = opened.store.stats(start)
      const closed = opened.store.close()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
      resolve(Promise.all([asked, closed]).then(() => {}))
    }, 0)
    await promise
  }
})

test('a closed file is a plain database in WAL mode, whole and alone', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const run = runOf()
  {
    await using opened = await openSqlite(path)
    await opened.store.accept(run, start)
  }
  withDatabase(path, (database) => {
    assert.is(pragma(database, 'journal_mode'), 'wal')
    assert.is(pragma(database, 'integrity_check'), 'ok')
    assert.ok(Number(pragma(database, 'user_version')) >= 1)
    assert.equal(
      database
        .prepare('SELECT id FROM run')
        .all()
        .map((row) => row['id']),
      [run.id],
    )
  })
})

function withDatabase(path: string, use: (database: DatabaseSync) => void): void {
  using database = new DatabaseSync(path)
  use(database)
}

function pragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[name]
}

test.run()
