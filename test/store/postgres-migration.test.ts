/** A schema of an older version, with a row for each job, is migrated to records, even if the process dies meanwhile. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startPostgresProxy } from '../harness/postgres-proxy.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres, postgresStore } from '../harness/store-postgres.ts'
import { claimOne, requestAt, runIdAt, runIn, start, taskError } from '../harness/store-run.ts'

const migrations = fileURLToPath(new URL('../../src/store/postgres/migrations/', import.meta.url))
const oldVersion = 4
/** Those that jobs of that version can have. */
const oldStates = ['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled'] as const
const large = JSON.stringify(`\0${'x'.repeat(5_000)}`)
const gone = '0198f1d2-0000-7000-8000-000000000001'

/** Runs of one job, in each state in turn; a `running` job was held by a process that is gone. */
async function makeOldSchema({ name, query }: Schema, runs: number): Promise<string[]> {
  await query(`CREATE SCHEMA ${name}`)
  await query('CREATE TABLE schema_version (version integer NOT NULL)')
  await query(`INSERT INTO schema_version VALUES (${oldVersion})`)
  const files = readdirSync(migrations).toSorted().slice(0, oldVersion)
  for (const file of files) await query(readFileSync(join(migrations, file), 'utf8'))
  const ids = Array.from({ length: runs }, (_, place) => runIdAt(start + place))
  const failure = { attempt: 1, startedAt: start, finishedAt: start + 1, error: { ...taskError, stack: large } }
  await query(
    `INSERT INTO run (id, state, version, respond, on_first_failure, total_jobs, open_jobs, failed_jobs, cancelled_jobs,
      answer_job, answer_status, responded_at, finished_at, tags)
    SELECT id, CASE WHEN is_open THEN 'running' ELSE state END, 7, 'first', 'continue', 1, is_open::integer,
      (state = 'failed')::integer, (state = 'cancelled')::integer, CASE WHEN NOT is_open THEN 0 END,
      CASE WHEN state = 'completed' THEN 200 WHEN NOT is_open THEN 500 END, CASE WHEN NOT is_open THEN $3::bigint END,
      CASE WHEN NOT is_open THEN $3::bigint END, '["old"]'
    FROM unnest($1::uuid[], $2::text[]) AS old (id, state),
      LATERAL (SELECT state IN ('queued', 'running', 'retrying') AS is_open) AS opened`,
    [ids, ids.map((_, place) => oldStates[place % oldStates.length]), start + 9],
  )
  await query(
    `INSERT INTO job (run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
      lost_starts, owner, thread, queued_at, run_at, started_at, finished_at, error, failures, input, result)
    SELECT id, 0, 'echo', 'io', state, 3, 60000, 1, 3, 2, 0, CASE WHEN state = 'running' THEN $3::uuid END, 'worker-2',
      $4::bigint, CASE WHEN state IN ('queued', 'retrying') THEN $4::bigint + 1 END,
      CASE WHEN state NOT IN ('queued', 'retrying') THEN $4::bigint + 2 END,
      CASE WHEN state NOT IN ('queued', 'running', 'retrying') THEN $4::bigint + 9 END,
      CASE WHEN state IN ('failed', 'cancelled') THEN $5 END,
      CASE WHEN state IN ('failed', 'retrying') THEN $6 ELSE '[]' END, $7, CASE WHEN state = 'completed' THEN $7 END
    FROM unnest($1::uuid[], $2::text[]) AS old (id, state)`,
    [
      ids,
      ids.map((_, place) => oldStates[place % oldStates.length]),
      gone,
      start,
      JSON.stringify(taskError),
      JSON.stringify([failure]),
      large,
    ],
  )
  await query(`INSERT INTO run_tag SELECT '"old"', id FROM run`)
  await query(`INSERT INTO run_task SELECT 'echo', id FROM run`)
  await query(`
    INSERT INTO tally (owner, accepted, final, runs_running, runs_completed, runs_failed, runs_cancelled, jobs_queued,
      jobs_running, jobs_retrying, jobs_completed, jobs_failed, jobs_cancelled)
    SELECT 'gone', count(*), count(finished_at), count(*) - count(finished_at), sum((state = 'completed')::int),
      sum((state = 'failed')::int), sum((state = 'cancelled')::int), sum((state = 'queued')::int),
      sum((state = 'running')::int), sum((state = 'retrying')::int), sum((state = 'completed')::int),
      sum((state = 'failed')::int), sum((state = 'cancelled')::int) FROM job`)
  return ids
}

test('jobs in every state are migrated with all their data', async () => {
  await using schema = await makeSchema()
  const ids = await makeOldSchema(schema, 12)
  await using opened = await openPostgres(schema)
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

test('a schema stays whole if its process dies during the migration, and the next process migrates it', async () => {
  await using schema = await makeSchema()
  const runs = 3_000
  await makeOldSchema(schema, runs)
  await using proxy = await startPostgresProxy(schema.url)
  for (const batches of [0, 2]) {
    let written = 0
    proxy.judge((bytes) => {
      written += Number(bytes.includes('write added'))
      return written > batches ? 'cut-behind' : 'pass'
    })
    await using cut = postgresStore({ url: proxy.url, name: schema.name })
    await rejects(cut.store.open(), 'BootError')
  }
  await using opened = await openPostgres(schema)
  assert.equal((await opened.store.stats(start)).conservation, {
    accepted: runs,
    final: runs / 2,
    live: runs / 2,
    lost: 0,
  })
})

test('a schema in use by processes of an older version is refused with instructions', async () => {
  await using schema = await makeSchema()
  await makeOldSchema(schema, 1)
  await schema.query('INSERT INTO process (id, heartbeat_at) VALUES ($1, clock_timestamp())', [gone])
  await using early = postgresStore(schema)
  const { message } = await rejects(early.store.open(), 'BootError')
  assert.match(message, 'stop all of them')
  await schema.query("UPDATE process SET heartbeat_at = clock_timestamp() - interval '1 minute'")
  await using opened = await openPostgres(schema)
  assert.is((await opened.store.stats(start)).conservation.accepted, 1)
})

test('the views show runs and jobs with any characters in their texts', async () => {
  await using schema = await makeSchema()
  const ids = await makeOldSchema(schema, 6)
  await using opened = await openPostgres(schema)
  assert.is(opened.store.backlog(), 3)
  const rows = await schema.query<Record<string, unknown>>('SELECT * FROM job ORDER BY run_id')
  assert.equal(
    rows.map((row) => [row['run_id'], row['job_index'], row['task'], row['state'], row['input']]),
    ids.map((id, place) => [id, 0, 'echo', oldStates[place], large]),
  )
  assert.is(rows[3]?.['result'], large)
  assert.equal(JSON.parse(String(rows[4]?.['error'])), taskError)
  assert.is(JSON.parse(String(rows[4]?.['failures']))[0].error.stack, large)
  const runs = await schema.query<Record<string, unknown>>('SELECT id, state, answer_status FROM run ORDER BY id')
  assert.equal(
    runs.map((row) => [row['state'], row['answer_status']]),
    [...Array.from({ length: 3 }, () => ['running', null]), ['completed', 200], ['failed', 500], ['cancelled', 500]],
  )
})

test.run()
