/** forerunner backup and restore, beside a service that goes on, and where nobody has the database open. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { command, forerunner, read } from './forerunner.ts'

const mark = { name: 'mark-io', input: { ms: 0, failures: 0, value: 'x'.repeat(4_000) } }

async function accept(child: Child): Promise<string> {
  return (await readRun(await child.post('/run-tasks', { tasks: [mark] }))).id
}

test('a backup of a database that is written to has all that was acknowledged, and comes back', async () => {
  await using home = await makeHome({ THREADS: '1' })
  const { databasePath } = home
  const at = (name: string): string => join(home.directory, name)
  const surroundings = { environment: { DATABASE_URL: `sqlite:${databasePath}` } }
  const ask = (...args: string[]) => command(args, surroundings)
  const child = await home.start()

  const acknowledged: string[] = []
  let isOn = true
  const writing = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (isOn) acknowledged.push(await accept(child))
    }),
  )
  const first = await accept(child)
  const before = [...acknowledged]
  const backedUp = await forerunner(['backup', at('one.db'), '--json'], surroundings)
  isOn = false
  await writing
  assert.is(backedUp.code, 0, backedUp.errors)
  const { runs, owner, unreadable } = read(backedUp) as { runs: number; owner: string; unreadable: string[] }
  assert.ok(runs > before.length && runs <= acknowledged.length + 1, `${runs} runs, of ${before.length} before`)
  assert.match(owner, new RegExp(`^process ${child.pid} `))
  assert.equal(unreadable, [])

  const taken = await ask('backup', at('one.db'))
  assert.equal([taken.code, taken.output], [2, ''])
  assert.match(taken.errors, '--yes overwrites it')
  for (const ending of ['', '-wal', '-shm']) {
    assert.is((await ask('backup', databasePath + ending, '--yes')).code, 2, 'it belongs to the database')
  }
  assert.is((await ask('restore', databasePath, '--yes')).code, 2)
  const refused = await ask('restore', at('one.db'), '--yes')
  assert.equal([refused.code, refused.output], [1, ''])
  assert.match(refused.errors, `process ${child.pid}`)
  await accept(child)

  await child.kill('SIGKILL')
  const whole = await ask('backup', at('two.db'))
  assert.equal([whole.code, whole.errors], [0, ''])
  assert.match(whole.output, `${acknowledged.length + 2} runs, all read back`)
  assert.is((await ask('restore', at('one.db'))).code, 2, 'nobody was asked')
  const restored = await ask('restore', at('one.db'), '--yes', '--json')
  assert.is(restored.code, 0, restored.errors)
  const { kept } = read(restored) as { kept: string }
  assert.equal(
    readdirSync(dirname(databasePath)).toSorted(),
    ['test.db', kept.slice(dirname(databasePath).length + 1)],
    'nothing else is left',
  )
  const successor = await home.start()
  for (const id of [first, ...before]) assert.is((await successor.get(`/runs/${id}`)).status, 200, id)
})

test('refuses files that are not backups, and a missing database', async () => {
  await using home = await makeHome()
  const { databasePath } = home
  const at = (name: string): string => join(home.directory, name)
  const ask = (args: string[], url = `sqlite:${databasePath}`) => command(args, { environment: { DATABASE_URL: url } })
  assert.is((await ask(['backup', at('a.db')])).code, 1)
  assert.is((await ask(['backup', at('a.db')], 'sqlite::memory:')).code, 2)
  assert.is((await ask(['restore', at('none.db')])).code, 2)
  const postgres = await ask(['backup', at('a.db')], 'postgres://127.0.0.1:9/x')
  assert.is(postgres.code, 2)
  assert.match(postgres.errors, 'pg_dump')
  for (const content of ['', 'this is no database, and longer than a header of SQLite is'.repeat(20)]) {
    writeFileSync(at('wrong.db'), content)
    const { code, output, errors } = await ask(['restore', at('wrong.db')])
    assert.equal([code, output], [1, ''])
    assert.match(errors, at('wrong.db'))
    assert.not(existsSync(databasePath))
  }
  // A database that cannot be read is replaced all the same: that is what a backup is for.
  const child = await home.start()
  const id = await accept(child)
  await child.kill('SIGTERM')
  assert.is((await ask(['backup', at('good.db')])).code, 0)
  writeFileSync(databasePath, 'broken'.repeat(1_000))
  const damaged = await ask(['backup', at('bad.db')])
  assert.equal([damaged.code, existsSync(at('bad.db'))], [1, false])
  assert.is((await ask(['restore', at('good.db'), '--yes'])).code, 0)
  const successor = await home.start()
  assert.is((await successor.get(`/runs/${id}`)).status, 200)
})

test.run()
