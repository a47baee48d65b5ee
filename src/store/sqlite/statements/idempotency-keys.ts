/** Idempotency keys and their runs. The transaction that accepts a run claims its key; the first run wins. */
import type { DatabaseSync } from 'node:sqlite'
import type { IdempotencyClaim, NewRun } from '../../../domain/run/new-run.ts'
import { keyMs, knownKey } from '../../rows.ts'
import type { KnownKey } from '../../store.ts'

export function createIdempotencyKeys(database: DatabaseSync) {
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
  const move = database.prepare('UPDATE idempotency_key SET claimed_at = claimed_at + ?')
  const bound = database.prepare('UPDATE idempotency_key SET claimed_at = ?1 WHERE claimed_at > ?1')

  /** @returns the reply to a request with the key; null if no run has it */
  function find(key: IdempotencyClaim, at: number): KnownKey | null {
    const row = select.get(key.scope, key.key, at - keyMs)
    return row === undefined ? null : knownKey(row, key)
  }

  return {
    find,
    /** Claims the key of the run. @returns the reply if another run has the key, else null */
    claim({ id, idempotency }: NewRun, at: number): KnownKey | null {
      if (idempotency === null) return null
      const known = find(idempotency, at)
      if (known !== null) return known
      const { scope, key, bodyDigest, isDeferred } = idempotency
      insert.run(scope, key, bodyDigest, id, Number(isDeferred), at)
      return null
    },
    defer: (runId: string) => void update.run(runId),
    remove: (runId: string) => void remove.run(runId),
    /** Call when the clock was set by this much: keys are kept for as long as before. */
    shift: (byMs: number) => void move.run(byMs),
    /** Call on opening, in case the clock was set back: no key stays claimed in the future. */
    bound: (at: number) => void bound.run(at),
    /** Removes keys that are too old. @returns how many, at most `limit` */
    prune: (limit: number, at: number) => Number(removeOld.run(at - keyMs, limit).changes),
  }
}
