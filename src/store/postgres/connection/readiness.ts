/**
 * Whether this process can commit now: it has committed lately, or a probe through each writing connection succeeds.
 * After a failed commit it counts as unready for a while, because a probe is small and may succeed where a run fails.
 */
import { AppError } from '../../../domain/errors.ts'
import type { BatchWriter } from '../writing/batch-writer.ts'
import type { Limits } from '../limits.ts'
import type { Operation } from '../writing/operations.ts'

export interface Readiness {
  /** @throws AppError `store-unavailable` */
  probe(lanes: readonly Pick<BatchWriter, 'askAlone'>[]): Promise<void>
  /** A commit failed because of the database. */
  noteFailure(error: unknown): void
  /** A transaction that wrote something was committed. */
  noteWritten(): void
}

const touch = {
  name: 'touch',
  text: `
    WITH own AS (UPDATE process SET heartbeat_at = heartbeat_at WHERE id = $1)
    SELECT bool_and(has_table_privilege(name, privilege)) AS may_write
    FROM unnest(ARRAY['record', 'payload', 'queue', 'holder', 'run_tag', 'run_task', 'idempotency_key', 'tally', 'search', 'search_progress', 'inbox']) AS name,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege`,
}

function probeOf(process: number): Operation {
  let mayWrite = false
  return {
    verb: 'probe',
    runIds: [],
    look: () => async (query) => {
      const [row] = await query(touch, [process])
      mayWrite = row?.['may_write'] === true
      return []
    },
    apply: () => (mayWrite ? null : new AppError('store-unavailable', 'the role may not write all tables')),
  }
}

/** A commit counts as a probe for one round. */
export function createReadiness(
  process: number,
  { roundMs, unreadyMs }: Pick<Limits, 'roundMs' | 'unreadyMs'>,
): Readiness {
  let writtenAt = -Infinity
  let failure: { readonly error: unknown; readonly at: number } | null = null
  let probing: Promise<unknown> | null = null

  const noteFailure = (error: unknown): void => void (failure = { error, at: performance.now() })

  return {
    async probe(lanes) {
      const now = performance.now()
      if (failure !== null && now - failure.at < unreadyMs) {
        throw new AppError('store-unavailable', 'a commit has failed a moment ago', { cause: failure.error })
      }
      if (now - writtenAt < roundMs) return
      probing ??= Promise.all(lanes.map((lane) => lane.askAlone(probeOf(process)))).finally(() => (probing = null))
      await probing.catch((error: unknown) => {
        noteFailure(error)
        throw error
      })
      writtenAt = performance.now()
    },
    noteFailure,
    noteWritten() {
      writtenAt = performance.now()
    },
  }
}
