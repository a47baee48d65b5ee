/**
 * Whether this process can commit now: it has committed lately, or a probe through each writing connection succeeds.
 * After a failed commit it is not ready for a while, because a probe is small and may succeed where a run fails.
 */
import { AppError } from '../../../domain/errors.ts'
import type { Timing } from '../connection/connection.ts'
import { type Operation, withLookup } from './operations.ts'

/** All tables but the one with the version of the schema. */
const tables =
  'record payload step queue holder run_tag run_task idempotency_key delivery schedule task_start paused_task ' +
  'log_chunk minute tally process search search_progress inbox'

const touch = {
  name: 'touch',
  text: `
    WITH own AS (UPDATE process SET heartbeat_at = heartbeat_at WHERE id = $1)
    SELECT bool_and(has_table_privilege(name, privilege)) AS may_write
    FROM unnest(string_to_array('${tables}', ' ')) AS name,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege`,
}

function probeOf(processId: number): Operation {
  return withLookup('probe', async (query) => {
    const [row] = await query(touch, [processId])
    const mayWrite = row?.['may_write'] === true
    const reply = mayWrite ? null : new AppError('store-unavailable', 'the role may not write all tables')
    return { records: [], apply: () => reply }
  })
}

/** A commit counts as a probe for one round of maintenance. */
export function createReadiness(processId: number, { roundMs, unreadyMs }: Timing) {
  let writtenAt = -Infinity
  let failure: { readonly error: unknown; readonly at: number } | null = null
  let probing: Promise<unknown> | null = null

  /** Call when a commit failed because of the database. */
  const noteFailure = (error: unknown): void => void (failure = { error, at: performance.now() })

  return {
    /** @param submitAlone of each writer @throws AppError `store-unavailable` */
    async probe(submitAlone: readonly ((operation: Operation) => Promise<unknown>)[]): Promise<void> {
      const now = performance.now()
      if (failure !== null && now - failure.at < unreadyMs) {
        throw new AppError('store-unavailable', 'a commit has failed a moment ago', { cause: failure.error })
      }
      if (now - writtenAt < roundMs) return
      probing ??= Promise.all(submitAlone.map((submit) => submit(probeOf(processId)))).finally(() => (probing = null))
      await probing.catch((error: unknown) => {
        noteFailure(error)
        throw error
      })
      writtenAt = performance.now()
    },
    noteFailure,
    /** Call when a transaction that wrote something was committed. */
    noteWritten(): void {
      writtenAt = performance.now()
    },
  }
}
