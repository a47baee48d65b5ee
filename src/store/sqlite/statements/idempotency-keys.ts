/** Idempotency keys and their runs. The transaction that accepts a run claims its key; the first one wins. */
import type { DatabaseSync } from 'node:sqlite'
import type { IdempotencyClaim, NewRun } from '../../../domain/run/new-run.ts'
import { keyMs, knownKey } from '../../rows.ts'
import type { KnownKey } from '../../store.ts'

export interface IdempotencyKeys {
  /** Claims the run's key. @returns the reply where another run has it, else null */
  claim(run: NewRun, at: number): KnownKey | null
  /** @returns the reply where a run has it, else null */
  find(key: IdempotencyClaim, at: number): KnownKey | null
  defer(runId: string): void
  forget(runId: string): void
  /** The clock was set by this much: keys are kept for as long as they would have been. */
  shift(byMs: number): void
  /** The clock may have been set back while the file was closed: no key counts as claimed in the future. */
  bound(at: number): void
  /** Removes at most `limit` keys whose time is over; returns how many. */
  prune(limit: number, at: number): number
}

export function createIdempotencyKeys(database: DatabaseSync): IdempotencyKeys {
  const select = database.prepare(`
    SELECT body_digest, run_id, is_deferred FROM idempotency_key WHERE scope = ? AND key = ? AND claimed_at > ?`)
  const insert = database.prepare(`
    INSERT OR REPLACE INTO idempotency_key (scope, key, body_digest, run_id, is_deferred, claimed_at)
    VALUES (?, ?, ?, ?, ?, ?)`)
  const update = database.prepare('UPDATE idempotency_key SET is_deferred = 1 WHERE run_id = ?')
  const remove = database.prepare('DELETE FROM idempotency_key WHERE run_id = ?')
  const removeOld = database.prepare(`
    DELETE FROM idempotency_key WHERE (scope, key) IN
      (SELECT scope, key FROM idempotency_key WHERE claimed_at <= ? ORDER BY claimed_at LIMIT ?)`)

  const shiftAll = database.prepare('UPDATE idempotency_key SET claimed_at = claimed_at + ?')
  const boundAll = database.prepare('UPDATE idempotency_key SET claimed_at = ? WHERE claimed_at > ?')

  function find(key: IdempotencyClaim, at: number): KnownKey | null {
    const row = select.get(key.scope, key.key, at - keyMs)
    return row === undefined ? null : knownKey(row, key)
  }

  return {
    claim({ id, idempotency }, at) {
      if (idempotency === null) return null
      const known = find(idempotency, at)
      if (known !== null) return known
      const { scope, key, bodyDigest, isDeferred } = idempotency
      insert.run(scope, key, bodyDigest, id, Number(isDeferred), at)
      return null
    },
    find,
    defer: (runId) => void update.run(runId),
    forget: (runId) => void remove.run(runId),
    shift: (byMs) => void shiftAll.run(byMs),
    bound: (at) => void boundAll.run(at, at),
    prune: (limit, at) => Number(removeOld.run(at - keyMs, limit).changes),
  }
}
