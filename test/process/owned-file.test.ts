/** A database file has one process at a time, and stays that one's own whatever tasks and other programs do with it. */
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allWays } from '../fixtures/process-tasks/touches.ts'
import { makeHome, type Child, type Home, type Process } from '../harness/child.ts'
import { rejects } from '../harness/rejects.ts'
import { readRun } from '../harness/run.ts'
import { sqliteStore } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'
import { withWarmThreads } from '../harness/warm-threads.ts'
import { endsWithRefusal } from './refusal.ts'

const mark = { name: 'mark-io', input: { ms: 0, failures: 0, value: 1 } }

/** Has a task touch the file, on the main thread or on a worker. */
async function touch(home: Home, child: Child, way: string, place: 'main' | 'worker'): Promise<string> {
  const into = await mkdtemp(join(home.directory, 'copies-'))
  const task = { name: 'touches', input: { way, path: home.databasePath, into } }
  const body = place === 'main' ? { tasks: [task] } : { respond: 'all', tasks: [mark, task] }
  const { id, jobs } = await readRun(await child.post('/run-tasks', body))
  const touched = jobs.at(-1)
  assert.is(touched?.thread === 'main', place === 'main', `${way}: it ran on ${touched?.thread}`)
  return id
}

/** Another process, which this one is, cannot have the file, and hears whose it is. */
async function isRefused(home: Home, child: Child, why: string): Promise<void> {
  await using newcomer = sqliteStore(home.databasePath)
  const { message } = await rejects(withWarmThreads(newcomer.store.open), 'BootError')
  assert.ok(message.includes(home.databasePath), why)
  assert.match(message, new RegExp(`process ${child.pid}\\b`), why)
}

async function accept(child: Child): Promise<string> {
  const response = await child.post('/run-tasks', { tasks: [mark] })
  assert.is(response.status, 200)
  return (await readRun(response)).id
}

async function checkThere(child: Child, ids: readonly string[]): Promise<void> {
  for (const id of ids) assert.is((await child.get(`/runs/${id}`)).status, 200, `the run ${id} is there`)
}

// Begun first, for it takes 15 s: the other tests run meanwhile.
const rivals = startRivals()
rivals.catch(() => {})

async function startRivals(): Promise<{ readonly home: Home; readonly first: Child; readonly second: Process }> {
  const home = await makeHome({ THREADS: '1' })
  const first = await home.start()
  return { home, first, second: home.spawn() }
}

test('no way to touch the file gives it away, and after a kill all that was acknowledged is there', async () => {
  // However slow the machine: a first job that overruns its budget would be moved to the pool.
  await using home = await makeHome({ THREADS: '1', MAIN_BUDGET_MS: '10000' })
  const child = await home.start()
  const ids: string[] = []
  for (const way of allWays) {
    for (const place of ['main', 'worker'] as const) {
      ids.push(await touch(home, child, way, place))
      await isRefused(home, child, `${way} on ${place}`)
      ids.push(await accept(child))
    }
  }
  const socket = `${home.databasePath}-owner`
  rmSync(socket)
  await until('the socket is made again', () => statSync(socket, { throwIfNoEntry: false })?.isSocket())
  ids.push(await touch(home, child, 'readFileSync', 'main'))
  await isRefused(home, child, 'with the new socket')
  const late = home.spawn()
  assert.is((await late.logged('process ')).owner, `process ${child.pid} on ${hostname()}`)
  await late.kill('SIGKILL')
  ids.push(await accept(child))
  await child.kill('SIGKILL')
  const successor = await home.start()
  await checkThere(successor, ids)
})

test('the process ends when its file was removed while it is idle, or replaced before anything else is acknowledged', async () => {
  const ways = {
    removed: (path: string) => rmSync(path),
    replaced(path: string) {
      writeFileSync(`${path}.other`, '')
      renameSync(`${path}.other`, path)
    },
  }
  for (const [what, change] of Object.entries(ways)) {
    await using home = await makeHome({ THREADS: '1' })
    const child = await home.start()
    await accept(child)
    change(home.databasePath)
    if (what === 'replaced') {
      const status = await child.post('/run-tasks', { tasks: [mark] }).then(
        (response) => response.status,
        () => 503,
      )
      assert.is(status, 503)
    }
    assert.equal(await child.ended(), { code: 1, signal: null }, what)
    assert.match(JSON.stringify(child.lines.at(-1)), /was removed or replaced/)
  }
})

test('removing the write-ahead log ends the process, and acknowledged runs survive', async () => {
  await using home = await makeHome({ THREADS: '1' })
  const child = await home.start()
  const ids = [await accept(child), await touch(home, child, 'readFileSync', 'main')]
  // The lock is lost: as the only connection that it knows of, this one writes the log into the file, and removes it.
  openAndClose(home.databasePath)
  const status = await child.post('/run-tasks', { tasks: [mark] }).then(
    (response) => response.status,
    () => 503,
  )
  assert.is(status, 503)
  assert.is((await child.ended()).signal, 'SIGKILL')
  assert.match(JSON.stringify(child.lines.at(-1)), /by another program/)
  await checkThere(await home.start(), ids)
})

test('a second process gives up waiting; after the first has stopped, another one starts', async () => {
  const { first, second, ...rest } = await rivals
  await using home = rest.home
  await endsWithRefusal(second, [home.databasePath])
  await accept(first)
  const opening = home.start()
  assert.equal(await first.kill('SIGTERM'), { code: 0, signal: null })
  await accept(await opening)
})

function openAndClose(path: string): void {
  using database = new DatabaseSync(path)
  database.prepare('SELECT count(*) FROM run').get()
}

test.run()
