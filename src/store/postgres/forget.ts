/** Forgets finished runs, with their jobs, tags and keys: one on request, or the oldest, a bounded number at a time. */
import { isRunId } from '../../domain/ids.ts'
import { isFinalJob, type JobState } from '../../domain/job.ts'
import type { RunState } from '../../domain/run.ts'
import { asRunRow, type Row } from './rows.ts'
import type { RemoveResult } from '../store.ts'
import { tagText } from './accept.ts'
import type { Query } from './connection.ts'
import { additions, columnList, countJob, countRun, createCounts, placeholdersFrom, valuesOf } from './counts.ts'
import { keptMs } from './keys.ts'

/** Runs can be large: one commit forgets so many jobs, or one run. */
const maxJobs = 2_000

const lockKeys = {
  name: 'forget-lock-keys',
  text: 'SELECT 1 FROM idempotency_key WHERE run_id = ANY($1::uuid[]) ORDER BY scope, key FOR UPDATE',
}
const lockJobs = {
  name: 'forget-lock-jobs',
  text: 'SELECT state FROM job WHERE run_id = ANY($1::uuid[]) ORDER BY run_id, job_index FOR UPDATE',
}
const lockRuns = {
  name: 'forget-lock-runs',
  text: 'SELECT id, state, tags FROM run WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE',
}
const forgetRuns = {
  name: 'forget-runs',
  text: `
    WITH keys AS (DELETE FROM idempotency_key WHERE run_id = ANY($1::uuid[])),
      tags AS (
        DELETE FROM run_tag USING unnest($3::text[], $4::uuid[]) AS named (tag, run_id)
        WHERE run_tag.tag = named.tag AND run_tag.run_id = named.run_id),
      tasks AS (
        DELETE FROM run_task USING (SELECT DISTINCT task, run_id FROM job WHERE run_id = ANY($1::uuid[])) AS named
        WHERE run_task.task = named.task AND run_task.run_id = named.run_id),
      jobs AS (DELETE FROM job WHERE run_id = ANY($1::uuid[])),
      runs AS (DELETE FROM run WHERE id = ANY($1::uuid[]))
    INSERT INTO tally AS t (owner, ${columnList}) VALUES ($2, ${placeholdersFrom(5)})
    ON CONFLICT (owner) DO UPDATE SET ${additions}`,
}
// Another process that forgets at the same time takes others.
const selectOld = {
  name: 'select-old-runs',
  text: 'SELECT id, total_jobs FROM run WHERE finished_at < $1 ORDER BY finished_at LIMIT $2',
}
const forgetKeys = {
  name: 'forget-keys',
  text: `
    DELETE FROM idempotency_key WHERE (scope, key) IN (
      SELECT scope, key FROM idempotency_key WHERE claimed_at <= $1 ORDER BY claimed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1`,
}

/** Of these runs, those that are finished; how the others are. To be called within a transaction. */
async function forget(query: Query, ids: readonly string[], owner: string): Promise<Map<string, RunState>> {
  await query(lockKeys, [ids])
  await query(lockJobs, [ids])
  const runs = await query(lockRuns, [ids])
  const states = new Map(runs.map((row) => [String(row['id']), row['state'] as RunState]))
  const finished = [...states].filter(([, state]) => state !== 'running').map(([id]) => id)
  if (finished.length === 0) return states
  const jobs = await query(lockJobs, [finished])
  const counts = createCounts()
  for (const { state } of jobs) countJob(counts, state as JobState, null)
  for (const id of finished) countRun(counts, states.get(id) ?? null, null)
  if (jobs.some(({ state }) => !isFinalJob(state as JobState))) throw new Error('a finished run has a job that is not')
  // A row of its own: the one that groups write must not wait for this.
  const row = `${owner} forgetting`
  const tags = runs.filter(({ id }) => finished.includes(String(id))).flatMap(tagsIn)
  const named = [tags.map(({ tag }) => tag), tags.map(({ runId }) => runId)]
  await query(forgetRuns, [finished, row, ...named, ...valuesOf(counts)])
  return states
}

function tagsIn(row: Row): { tag: string; runId: string }[] {
  const { id: runId, tags } = asRunRow(row)
  // Written by this engine.
  return (JSON.parse(tags) as string[]).map((tag) => ({ tag: tagText(tag), runId }))
}

export async function remove(query: Query, runId: string, owner: string): Promise<RemoveResult> {
  if (!isRunId(runId)) return 'not-found'
  const state = (await forget(query, [runId], owner)).get(runId)
  if (state === undefined) return 'not-found'
  return state === 'running' ? 'active' : 'removed'
}

export async function prune(
  query: Query,
  owner: string,
  { finishedBefore, limit, at }: { finishedBefore: number; limit: number; at: number },
): Promise<number> {
  const ids: string[] = []
  let jobs = 0
  for (const row of await query(selectOld, [finishedBefore, limit])) {
    jobs += Number(row['total_jobs'])
    if (ids.length > 0 && jobs > maxJobs) break
    ids.push(String(row['id']))
  }
  const states = ids.length === 0 ? [] : [...(await forget(query, ids, owner)).values()]
  const keys = await query(forgetKeys, [at - keptMs, limit])
  return states.filter((state) => state !== 'running').length + keys.length
}
