/** A copy of a database that is written to is the state at one commit, or it fails. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { holdLog } from '../../src/store/sqlite/ownership/ownership.ts'
import { copySnapshot } from '../../src/store/sqlite/backup.ts'
import { runOf, jobOf, start } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory, type ScopedStore } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

test('a log that restarts during a copy makes no copy, or the copy is made again', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const to = join(directory.path, 'copy.db')
  const writer = new DatabaseSync(path)
  writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 3')
  writer.exec('CREATE TABLE one (id INTEGER PRIMARY KEY, filler BLOB); CREATE TABLE other (id INTEGER PRIMARY KEY)')
  const insert = writer.prepare('INSERT INTO one (filler) VALUES (randomblob(3000))')
  const insertOther = writer.prepare('INSERT INTO other DEFAULT VALUES')
  let isOn = true
  let commits = 0
  const writing = (async () => {
    while (isOn) {
      writer.exec('BEGIN')
      insert.run()
      insertOther.run()
      writer.exec('COMMIT')
      commits += 1
      // Of a quick writer, and of one that leaves the time to copy.
      if (commits % 3 !== 0 || commits > 300) await new Promise((resolve) => setTimeout(resolve, commits % 20))
    }
  })()
  let copies = 0
  try {
    for (let tries = 0; tries < 15; tries += 1) {
      try {
        await copySnapshot(path, to)
      } catch (error) {
        assert.match(String(error), 'faster than it can be copied')
        continue
      }
      copies += 1
      const copy = new DatabaseSync(to)
      const { sound, ones, others } = copy
        .prepare(
          'SELECT (SELECT integrity_check FROM pragma_integrity_check) AS sound, (SELECT count(*) FROM one) AS ones, (SELECT count(*) FROM other) AS others',
        )
        .get() as { sound: string; ones: number; others: number }
      copy.close()
      assert.equal([sound, ones], ['ok', others])
    }
  } finally {
    isOn = false
    await writing
    writer.close()
  }
  assert.ok(copies > 0)
})

async function write({ store }: ScopedStore, runs: number): Promise<void> {
  const jobs = [jobOf({ input: JSON.stringify('x'.repeat(60_000)) })]
  for (let count = 0; count < runs; count += 1) await store.accept(runOf({ jobs }), start)
}

test('the owner lets the log grow while it is held, and restarts it afterwards', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using scoped = await openSqlite(path)
  const header = (): string => readFileSync(`${path}-wal`).toString('hex', 0, 32)
  await write(scoped, 1)
  {
    using _ = await holdLog(path)
    const held = header()
    // Above a thousand pages each.
    await write(scoped, 150)
    assert.is(header(), held)
  }
  await until('it begins again', async () => {
    const before = header()
    await write(scoped, 10)
    return header() !== before
  })
})

test.run()
