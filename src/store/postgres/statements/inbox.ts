/** The requests of the SQL function `run_tasks`. The transaction that accepts a run removes the row of its request. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../../domain/errors.ts'
import { isRunId } from '../../../domain/ids.ts'
import type { Inbox, KnownKey } from '../../store.ts'
import type { Query, Reader } from '../connection/connection.ts'
import type { Acceptance } from './idempotency-keys.ts'

/** The notification that a transaction with such requests was committed. */
export const inboxNotification = 'inbox'

const maxRequests = 100
const maxBytes = 4 * 2 ** 20

// One process at a time takes requests: others would check the same ones.
const takeTurn = {
  name: 'take-turn-at-inbox',
  text: `SELECT pg_try_advisory_xact_lock(hashtextextended('forerunner inbox ' || current_schema(), 0)) AS is_mine`,
}
const select = {
  name: 'select-inbox',
  text: `
    SELECT id, text FROM (
      SELECT id, text, sum(octet_length(text)) OVER (ORDER BY id) - octet_length(text) AS before
      FROM (
        SELECT id, CASE WHEN octet_length(request) <= $2 THEN request END AS text FROM inbox
        WHERE id NOT IN (SELECT unnest($1::uuid[])) ORDER BY id LIMIT ${maxRequests}) AS oldest) AS summed
    WHERE coalesce(before, 0) < ${maxBytes} ORDER BY id`,
}
const remove = {
  name: 'remove-from-inbox',
  text: `
    DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE) RETURNING id`,
}
const selectWaiting = { name: 'select-whether-inbox', text: 'SELECT EXISTS (SELECT FROM inbox) AS is_waiting' }
const selectOne = { name: 'select-of-inbox', text: 'SELECT 1 FROM inbox WHERE id = $1' }

const takeUpMs = 2_000
const lookAgainMs = 20

/** @param onWaiting called when requests may be waiting */
export function createInbox({ query, transact }: Reader, onWaiting: () => void) {
  const isInInbox = async (runId: string): Promise<boolean> => (await query(selectOne, [runId])).length > 0

  return {
    take: (({ except, maxBytes: maxOfOne }, work) =>
      transact(async (within) => {
        if ((await within(takeTurn))[0]?.['is_mine'] !== true) return false
        const rows = await within(select, [except, maxOfOne])
        const requests = rows.map(({ id, text }) => ({ id: String(id), text: typeof text === 'string' ? text : null }))
        if (requests.length > 0) await work(requests)
        return requests.length > 0
      })) satisfies Inbox['take'],
    /** Calls `onWaiting` if requests are waiting. @throws DatabaseFailure */
    async look(): Promise<void> {
      if ((await query(selectWaiting))[0]?.['is_waiting'] === true) onWaiting()
    },
    /**
     * Resolves when the inbox does not have the request: its run exists by then, or never will.
     * @throws AppError `overloaded` if the request still waits after two seconds
     */
    async awaitTakeUp(runId: string): Promise<void> {
      if (!isRunId(runId) || !(await isInInbox(runId))) return
      onWaiting()
      const deadline = performance.now() + takeUpMs
      while (performance.now() < deadline) {
        await sleep(lookAgainMs)
        if (!(await isInInbox(runId))) return
      }
      throw new AppError('overloaded', 'the run was asked for in the database, and no process has taken it up yet', {
        members: { runId },
      })
    },
  }
}

/**
 * Takes the requests of accepted runs out of the inbox. It waits for rows that another transaction has locked.
 * @returns by run id, the reply if the request is gone: another process has accepted the run
 */
export async function claimRequests(
  query: Query,
  acceptances: readonly Acceptance[],
): Promise<ReadonlyMap<string, KnownKey>> {
  const ids = acceptances.flatMap(({ run }) => (run.isFromInbox === true ? run.id : []))
  if (ids.length === 0) return new Map()
  const taken = new Set((await query(remove, [ids])).map(({ id }) => String(id)))
  const gone = ids.filter((id) => !taken.has(id))
  return new Map(gone.map((runId) => [runId, { result: 'replayed', runId, isDeferred: true }]))
}
