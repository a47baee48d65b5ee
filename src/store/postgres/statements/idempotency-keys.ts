/** Idempotency keys and their runs. The transaction that accepts a run claims its key; one of racing transactions wins. */
import { isRunId } from '../../../domain/ids.ts'
import type { IdempotencyClaim, NewRun } from '../../../domain/run/new-run.ts'
import { keyMs, knownKey } from '../../rows.ts'
import type { KnownKey } from '../../store.ts'
import { columns, type Query } from '../connection/connection.ts'

// A key that another run has stays unchanged, and is locked for the next statement. The order is that of every transaction.
const insert = {
  name: 'claim-keys',
  text: `
    INSERT INTO idempotency_key AS known (scope, key, body_digest, run_id, is_deferred, claimed_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::boolean[], $6::bigint[])
      AS new (scope, key, body_digest, run_id, is_deferred, claimed_at)
    ORDER BY scope, key
    ON CONFLICT (scope, key) DO UPDATE SET body_digest = excluded.body_digest, run_id = excluded.run_id,
      is_deferred = excluded.is_deferred, claimed_at = excluded.claimed_at
    WHERE known.claimed_at <= excluded.claimed_at - ${keyMs}`,
}
const select = {
  name: 'select-keys',
  text: `
    SELECT scope, key, body_digest, run_id, is_deferred, claimed_at
    FROM unnest($1::text[], $2::text[]) AS asked (scope, key) JOIN idempotency_key USING (scope, key)`,
}

export interface Acceptance {
  readonly run: NewRun
  readonly at: number
}

/** Claims the keys of accepted runs. @returns by run id, the reply if another run has the key */
export async function claimKeys(
  query: Query,
  acceptances: readonly Acceptance[],
): Promise<ReadonlyMap<string, KnownKey>> {
  const keyed = acceptances.flatMap(({ run: { id: runId, idempotency }, at }) => {
    return idempotency === null ? [] : { ...idempotency, name: nameOf(idempotency.scope, idempotency.key), runId, at }
  })
  if (keyed.length === 0) return new Map()
  // The first of several requests in one group makes the run.
  const firsts = keyed.filter((one, index) => keyed.findIndex(({ name }) => name === one.name) === index)
  const [, rows] = await Promise.all([
    query(insert, columns(firsts, 'scope', 'key', 'bodyDigest', 'runId', 'isDeferred', 'at')),
    query(select, columns(firsts, 'scope', 'key')),
  ])
  const rowOf = new Map(rows.map((row) => [nameOf(row['scope'], row['key']), row]))
  const replies = new Map<string, KnownKey>()
  for (const one of keyed) {
    const row = rowOf.get(one.name)
    if (row === undefined) throw new Error('an idempotency key that was claimed is missing')
    if (row['run_id'] !== one.runId) replies.set(one.runId, knownKey(row, one))
  }
  return replies
}

function nameOf(scope: unknown, key: unknown): string {
  return JSON.stringify([scope, key])
}

/** Returns null if no run has the key, or if the key has expired. */
export async function findKey(query: Query, idempotency: IdempotencyClaim, at: number): Promise<KnownKey | null> {
  const [row] = await query(select, [[idempotency.scope], [idempotency.key]])
  return row === undefined || Number(row['claimed_at']) <= at - keyMs ? null : knownKey(row, idempotency)
}

const update = {
  name: 'defer',
  text: 'UPDATE idempotency_key SET is_deferred = true WHERE run_id = $1',
}

export async function defer(query: Query, runId: string): Promise<void> {
  if (isRunId(runId)) await query(update, [runId])
}

// As a CTE: the planner may run a subquery of the condition once per row, and each run would lock further rows.
const removeOld = {
  name: 'forget-keys',
  text: `
    WITH oldest AS MATERIALIZED (
      SELECT scope, key FROM idempotency_key WHERE claimed_at <= $1 ORDER BY claimed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM idempotency_key AS known USING oldest WHERE known.scope = oldest.scope AND known.key = oldest.key
    RETURNING 1`,
}

/** Removes at most `limit` expired keys. @returns how many */
export async function forgetKeys(query: Query, limit: number, at: number): Promise<number> {
  return (await query(removeOld, [at - keyMs, limit])).length
}
