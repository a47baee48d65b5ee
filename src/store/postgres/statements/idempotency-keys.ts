/** Idempotency keys and their runs. The transaction that accepts a run claims its key; of racing transactions one wins. */
import { isRunId } from '../../../domain/ids.ts'
import type { IdempotencyClaim, NewRun } from '../../../domain/run/new-run.ts'
import { keyMs, knownKey } from '../../rows.ts'
import type { KnownKey } from '../../store.ts'
import type { Query } from '../connection/connection.ts'

// A key of another run stays unchanged, and is locked for the next statement. Every transaction locks keys in this order.
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

interface Keyed extends Acceptance {
  readonly idempotency: IdempotencyClaim
}

/** Claims the keys of these runs. @returns by run id, the reply where another run has the key */
export async function claimKeys(
  query: Query,
  acceptances: readonly Acceptance[],
): Promise<ReadonlyMap<string, KnownKey>> {
  const keyed = acceptances.flatMap(({ run, at }): Keyed[] => {
    return run.idempotency === null ? [] : [{ run, at, idempotency: run.idempotency }]
  })
  if (keyed.length === 0) return new Map()
  // Of several requests in one group, the first makes the run.
  const firsts = keyed.filter((one, index) => keyed.findIndex((other) => nameOf(other) === nameOf(one)) === index)
  const names = [firsts.map(({ idempotency }) => idempotency.scope), firsts.map(({ idempotency }) => idempotency.key)]
  const [, rows] = await Promise.all([
    query(insert, [
      ...names,
      firsts.map(({ idempotency }) => idempotency.bodyDigest),
      firsts.map(({ run }) => run.id),
      firsts.map(({ idempotency }) => idempotency.isDeferred),
      firsts.map(({ at }) => at),
    ]),
    query(select, names),
  ])
  const found = new Map(rows.map((row) => [JSON.stringify([row['scope'], row['key']]), row]))
  const reports = new Map<string, KnownKey>()
  for (const one of keyed) {
    const row = found.get(nameOf(one))
    if (row === undefined) throw new Error('an idempotency key that was claimed is not there')
    if (row['run_id'] !== one.run.id) reports.set(one.run.id, knownKey(row, one.idempotency))
  }
  return reports
}

/** @returns what the key stands for; null where no run has it, or its time is over */
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

function nameOf({ idempotency: { scope, key } }: Keyed): string {
  return JSON.stringify([scope, key])
}

const removeOld = {
  name: 'forget-keys',
  text: `
    DELETE FROM idempotency_key WHERE (scope, key) IN (
      SELECT scope, key FROM idempotency_key WHERE claimed_at <= $1 ORDER BY claimed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1`,
}

/** Removes at most `limit` keys whose time is over; returns how many. */
export async function forgetKeys(query: Query, limit: number, at: number): Promise<number> {
  return (await query(removeOld, [at - keyMs, limit])).length
}
