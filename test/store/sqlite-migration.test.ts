/** A file of an older version, with a row for each job, becomes one of records, whatever is in it and whenever it dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readNumber } from '../../src/store/sqlite/connection/database.ts'
import { claimOne, requestAt, runIdAt, runIn, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

const migrations = fileURLToPath(new URL('../../src/store/sqlite/migrations/', import.meta.url))
const oldVersion = 4
/** Those that jobs of that version can have. */
const oldStates = ['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled'] as const
const large = JSON.stringify('x'.repeat(5_000))

/** Runs of one job, in each state in turn; a `running` job was held by a process that is gone. */
function makeOldFile(path: string, runs: number): string[] {
  using database = new DatabaseSync(path)
  const files = readdirSync(migrations).toSorted().slice(0, oldVersion)
  for (const file of files) database.exec(readFileSync(join(migrations, file), 'utf8'))
  // "Fore"
  database.exec(`PRAGMA application_id = 1181708901; PRAGMA user_version = ${oldVersion}; BEGIN`)
  const insertRun = database.prepare(`
    INSERT INTO run (id, state, version, respond, total_jobs, open_jobs, failed_jobs, cancelled_jobs, answer_job,
      answer_status, responded_at, finished_at, tags, on_first_failure)
    VALUES (?, ?, 7, 'first', 1, ?, ?, ?, ?, ?, ?, ?, '["old"]', 'continue')`)
  const insertJob = database.prepare(`
    INSERT INTO job (run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
      lost_starts, owner, thread, queued_at, run_at, started_at, finished_at, error, failures, input, result)
    VALUES (?, 0, 'echo', 'io', ?, 3, 60000, 1, 3, 2, 0, ?, 'worker-1', ?, ?, ?, ?, ?, ?, ?, ?)`)
  const insertTag = database.prepare("INSERT INTO run_tag (tag, run_id) VALUES ('old', ?)")
  const jobs = { queued: 0, running: 0, retrying: 0, completed: 0, failed: 0, cancelled: 0 }
  const ids = Array.from({ length: runs }, (_, place) => {
    const id = runIdAt(start + place)
    const state = oldStates[place % oldStates.length] ?? 'queued'
    jobs[state] += 1
    const isOpen = ['queued', 'running', 'retrying'].includes(state)
    const finishedAt = isOpen ? null : start + 9
    const status = state === 'completed' ? 200 : isOpen ? null : 500
    const counts = [Number(isOpen), Number(state === 'failed'), Number(state === 'cancelled')]
    insertRun.run(id, isOpen ? 'running' : state, ...counts, isOpen ? null : 0, status, finishedAt, finishedAt)
    const runAt = state === 'queued' || state === 'retrying' ? start + 1 : null
    const error = state === 'failed' || state === 'cancelled' ? JSON.stringify(taskError) : null
    const failure = { attempt: 1, startedAt: start, finishedAt: start + 1, error: { ...taskError, stack: large } }
    const failures = state === 'failed' || state === 'retrying' ? JSON.stringify([failure]) : '[]'
    const result = state === 'completed' ? large : null
    const times = [start, runAt, runAt === null ? start + 2 : null, finishedAt]
    insertJob.run(id, state, state === 'running' ? 'gone' : null, ...times, error, failures, large, result)
    insertTag.run(id)
    return id
  })
  const open = jobs.queued + jobs.running + jobs.retrying
  const runsByState = { running: open, completed: jobs.completed, failed: jobs.failed, cancelled: jobs.cancelled }
  const totals = { accepted: runs, final: runs - open, runs: runsByState, jobs }
  database.prepare('INSERT INTO tally (id, totals) VALUES (1, ?)').run(JSON.stringify(totals))
  database.exec('COMMIT')
  return ids
}

test('the migration keeps jobs in every state with all their members', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'old.db')
  const ids = makeOldFile(path, 12)
  await using opened = await openSqlite(path)
  const { store } = opened
  const read = await Promise.all(ids.map((id) => runIn(store, id)))
  assert.equal(
    read.map(({ jobs }) => jobs[0]?.state),
    [...oldStates, ...oldStates],
  )
  for (const { version, tags, jobs, answer } of read) {
    assert.is(version, 7)
    assert.equal(tags, ['old'])
    const state = jobs[0]?.state
    assert.is(jobs[0]?.result, state === 'completed' ? large : null)
    assert.equal(jobs[0]?.error, state === 'failed' || state === 'cancelled' ? taskError : null)
    assert.is(jobs[0]?.failures[0]?.error.stack, state === 'failed' || state === 'retrying' ? large : undefined)
    assert.is(answer === null, state === 'queued' || state === 'running' || state === 'retrying')
  }
  const { conservation, jobs } = await store.stats(start)
  assert.equal(conservation, { accepted: 12, final: 6, live: 6, lost: 0 })
  assert.equal(jobs, { queued: 2, running: 2, retrying: 2, completed: 2, failed: 2, cancelled: 2, blocked: 0 })
  const listed = await store.listRuns({ tag: 'old', task: 'echo', pageSize: 20 })
  assert.is(listed.runs.length, 12)

  // What a dead process held is taken back, and everything open runs to its end.
  assert.is((await store.rescue(start + 10)).requeued, 2)
  const claimed = await store.claim(requestAt(start + 10))
  assert.equal([...new Set(claimed.jobs.map(({ input }) => input))], [large])
  assert.is(claimed.jobs.length, 6)
  await Promise.all(claimed.jobs.map((job) => store.complete(job, '1', start + 11)))
  assert.is(await store.retry(ids[4] ?? '', 0, start + 12), 'queued')
  assert.is((await claimOne(store, start + 12)).claim, 3)
})

/** Of the transaction under way, which outgrows SQLite's cache. */
function logBytes(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0
}

function versionOf(path: string): number {
  using database = new DatabaseSync(path)
  return readNumber(database, 'PRAGMA user_version')
}

test('a file whose process is killed during the migration stays whole, and the next process migrates it', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'old.db')
  const runs = 3_000
  makeOldFile(path, runs)
  const entry = fileURLToPath(new URL('../harness/store-process-child.ts', import.meta.url))
  for (const written of [1, 2 ** 21, 2 ** 23]) {
    const child = spawn(process.execPath, [entry, path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const exited = once(child, 'exit')
    await until(`its transaction has written ${written} bytes`, () => logBytes(path) >= written)
    child.kill('SIGKILL')
    await exited
    assert.is(versionOf(path), oldVersion)
  }
  await using opened = await openSqlite(path)
  assert.equal((await opened.store.stats(start)).conservation, {
    accepted: runs,
    final: runs / 2,
    live: runs / 2,
    lost: 0,
  })
})

test.run()
