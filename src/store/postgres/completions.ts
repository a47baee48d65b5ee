/**
 * Settles jobs that have succeeded, which is how nearly all end, in one statement: the jobs whose claims hold, then their
 * runs, the totals, and the word to the other processes. What it makes of a run is what moves.ts makes of it
 * step by step; a test holds the two against each other.
 */
import type { Claim } from '../../domain/claim.ts'
import type { RunRecord } from '../../domain/run.ts'
import { asJobRow, asRunRow } from './rows.ts'
import { plainArray, textArray } from './arrays.ts'
import type { Connection, Query } from './connection.ts'
import { changesTold, commitHead, readChanges, toldChanges } from './notices.ts'
import { isPossibleClaim } from './lock.ts'
import type { Operation, ReadBehind } from './operations.ts'
import { readRuns } from './read.ts'
import { committed, nothingDone, OutOfStep, ownRow, rowOf, type Outcome, type Sender } from './transaction.ts'

export type Completion = Extract<Operation, { readonly verb: 'complete' }>

const firsts = (what: string, order: 'ASC' | 'DESC'): string => `(array_agg(${what} ORDER BY turn ${order}))[1]`

// Rows are locked in the order of the arrays, and then by run: a nested loop is the only join there is.
const complete = {
  name: 'complete',
  text: `
    WITH ${ownRow()}, jobs AS (
      UPDATE job SET state = 'completed', owner = NULL, finished_at = asked.at, result = asked.result
      FROM own, unnest($4::uuid[], $5::integer[], $6::integer[], $7::bigint[], $8::text[], $9::integer[])
        AS asked (run_id, job_index, claim, at, result, turn)
      WHERE job.run_id = asked.run_id AND job.job_index = asked.job_index AND job.claim = asked.claim
        AND job.state = 'running'
      RETURNING job.run_id, job.job_index, asked.at, asked.turn
    ), sums AS MATERIALIZED (
      SELECT run_id, count(*)::integer AS moved, bool_or(job_index = 0) AS has_first,
        max(at) FILTER (WHERE job_index = 0) AS first_at, ${firsts('job_index', 'ASC')} AS earliest,
        ${firsts('at', 'ASC')} AS earliest_at, ${firsts('at', 'DESC')} AS latest_at
      FROM jobs GROUP BY run_id ORDER BY run_id
    ), runs AS (
      UPDATE run SET version = version + moved, open_jobs = open_jobs - moved,
        state = CASE WHEN open_jobs > moved THEN 'running' WHEN failed_jobs > 0 THEN 'failed'
          WHEN cancelled_jobs > 0 THEN 'cancelled' ELSE 'completed' END,
        finished_at = CASE WHEN open_jobs = moved THEN latest_at END,
        answer_job = CASE WHEN answer_status IS NOT NULL THEN answer_job
          WHEN respond = 'first' AND has_first THEN 0 WHEN respond IN ('race', 'any') THEN earliest END,
        answer_status = CASE WHEN answer_status IS NOT NULL THEN answer_status
          WHEN (respond = 'first' AND has_first) OR respond IN ('race', 'any') THEN 200
          WHEN respond = 'all' AND open_jobs = moved THEN
            CASE WHEN failed_jobs + cancelled_jobs = 0 THEN 200 ELSE 500 END END,
        responded_at = CASE WHEN answer_status IS NOT NULL THEN responded_at
          WHEN respond = 'first' THEN first_at WHEN respond IN ('race', 'any') THEN earliest_at
          WHEN respond = 'all' AND open_jobs = moved THEN latest_at END
      FROM sums WHERE run.id = sums.run_id RETURNING run.id, run.version, run.state, run.answer_status
    ), totals AS (
      UPDATE tally SET commits = $3, final = final + settled, jobs_running = jobs_running - settled,
        jobs_completed = jobs_completed + settled, runs_running = runs_running - completed - failed - cancelled,
        runs_completed = runs_completed + completed, runs_failed = runs_failed + failed,
        runs_cancelled = runs_cancelled + cancelled
      FROM own, (SELECT count(*) AS settled FROM jobs) AS ended, (
        SELECT count(*) FILTER (WHERE state = 'completed') AS completed,
          count(*) FILTER (WHERE state = 'failed') AS failed,
          count(*) FILTER (WHERE state = 'cancelled') AS cancelled FROM runs) AS finished
      WHERE tally.owner = $1
    ), ${toldChanges({ channel: '$10', head: '$11', live: 'own.live - (SELECT count(*) FROM jobs)', hasWork: '0' })}
    SELECT own.live - (SELECT count(*) FROM jobs) AS live, ${changesTold},
      (SELECT string_agg(turn::text, ',') FROM jobs) AS settled
    FROM own`,
}

const selectCompleted = {
  name: 'select-completed',
  text: `
    SELECT job.job_index, run.id, run.version, run.state, run.answer_status
    FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS asked (run_id, job_index, claim)
      JOIN job USING (run_id, job_index, claim) JOIN run ON run.id = job.run_id
    WHERE job.state = 'completed'`,
}

export type Completing = readonly (Completion | ReadBehind)[]

export function isCompletions(operations: readonly Operation[]): operations is Completing {
  return operations.every(({ verb }) => verb === 'complete' || verb === 'getRun')
}

/** Each job once. @throws InDoubt @throws OutOfStep @throws DatabaseFailure */
export async function commitCompletions({ query }: Connection, sender: Sender, asked: Completing): Promise<Outcome> {
  const completions = asked.filter((operation) => operation.verb === 'complete')
  const sent = completions.length === 0 ? Promise.resolve(null) : send(query, sender, completions)
  // Behind the commit, and on its way with it.
  const reading = readAsked(query, asked).catch((error: unknown) => error)
  const find = async (ask: Query): Promise<Outcome> => {
    return { ...(await findCompleted(ask, asked)), commits: sender.number, live: sender.live }
  }
  const row = await committed(sent, sender, find)
  const runs = await reading
  const settled = turnsIn(row?.['settled'])
  let turn = -1
  const values = asked.map((operation) => {
    if (operation.verb === 'getRun') return runs instanceof Map ? (runs.get(operation.args[0]) ?? null) : runs
    turn += 1
    return settled.has(turn) ? 'settled' : 'stale'
  })
  if (row === null) return { ...nothingDone, values, commits: sender.commits, live: sender.live }
  return { ...nothingDone, values, changes: readChanges(row), commits: sender.number, live: Number(row['live']) }
}

async function send(query: Query, sender: Sender, completions: readonly Completion[]) {
  const inOrder = completions
    .map(({ args: [claim, result, at] }, turn) => ({ claim, result, at, turn }))
    .filter(({ claim }) => isPossibleClaim(claim))
    .toSorted((a, b) => compare(a.claim, b.claim))
  const [row] = await query(complete, [
    rowOf(sender),
    sender.commits,
    sender.number,
    plainArray(inOrder.map(({ claim: { runId } }) => runId)),
    plainArray(inOrder.map(({ claim: { jobIndex } }) => jobIndex)),
    plainArray(inOrder.map(({ claim: { claim } }) => claim)),
    plainArray(inOrder.map(({ at }) => at)),
    textArray(inOrder.map(({ result }) => result)),
    plainArray(inOrder.map(({ turn }) => turn)),
    sender.channel,
    commitHead(sender.owner, sender.lane),
  ])
  if (row === undefined) throw new OutOfStep()
  return row
}

/** @param list null where none was */
function turnsIn(list: unknown): ReadonlySet<number> {
  return new Set(typeof list === 'string' ? list.split(',').map(Number) : [])
}

/** By run and index, as everybody locks them. */
function compare(a: Claim, b: Claim): number {
  if (a.runId !== b.runId) return a.runId < b.runId ? -1 : 1
  return a.jobIndex - b.jobIndex
}

async function readAsked(query: Query, asked: Completing): Promise<ReadonlyMap<string, RunRecord>> {
  const ids = asked.flatMap(({ verb, args }) => (verb === 'getRun' ? [args[0]] : []))
  const runs = ids.length === 0 ? [] : await readRuns(query, [...new Set(ids)])
  return new Map(runs.map((run) => [run.id, run]))
}

/** Of a commit that took place and was not answered: who holds a claim alone can have completed its job. */
async function findCompleted(query: Query, asked: Completing) {
  const claims = asked.flatMap(({ verb, args }) => (verb === 'complete' ? [args[0]] : [])).filter(isPossibleClaim)
  const rows = await query(selectCompleted, [
    plainArray(claims.map(({ runId }) => runId)),
    plainArray(claims.map(({ jobIndex }) => jobIndex)),
    plainArray(claims.map(({ claim }) => claim)),
  ])
  const nameOf = (runId: string, jobIndex: number): string => `${runId}/${jobIndex}`
  const settled = new Set(rows.map((row) => nameOf(asRunRow(row).id, asJobRow(row).job_index)))
  const runs = await readAsked(query, asked)
  const values = asked.map((operation) => {
    if (operation.verb === 'getRun') return runs.get(operation.args[0]) ?? null
    const [{ runId, jobIndex }] = operation.args
    return settled.has(nameOf(runId, jobIndex)) ? 'settled' : 'stale'
  })
  const changed = new Map(rows.map((row) => [asRunRow(row).id, asRunRow(row)]))
  const changes = [...changed.values()].map(({ id: runId, version, state, answer_status: status }) => {
    return { runId, version, state, isAnswered: status !== null, voided: [] }
  })
  return { ...nothingDone, values, changes }
}
