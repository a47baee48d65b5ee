/**
 * Deliveries: added with the end of their run, claimed for a try, and removed with the run. A run is named by the key of
 * its record, and a delivery by the version of its run.
 */
import type { DatabaseSync } from 'node:sqlite'
import { maxDeliveryWaitsMs, type TryResult } from '../../../domain/webhook.ts'
import type { ClaimedDelivery } from '../../../domain/run.ts'
import { deliveryOfEnd } from '../../../domain/run/verbs.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import {
  chooseDeliveries,
  type DeliveryClaims,
  type DeliveryRequest,
  earliest,
  maxShownDeliveries,
  receiversPerClaim,
  wantedReceivers,
} from '../../claim-requests.ts'
import { claimedDelivery, deliveryRecord, type DeliveryRow, deliveryStateNumber } from '../../rows.ts'
import { stateNumber } from '../../run-codec.ts'
import { idOfBytes, prepareSelect } from '../connection/node-sqlite.ts'

type StoredRow = DeliveryRow & { readonly key: number; readonly id: Uint8Array }

/** Pending, and not claimed. */
const isFree = 'next_at IS NOT NULL AND is_taken = 0'

export function createDeliveries(database: DatabaseSync) {
  const insert = database.prepare(`
    INSERT INTO delivery (run, version, receiver, outcome, ended_at, state, attempts, next_at, is_taken)
    VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0)`)
  const selectOf = prepareSelect<Parameters<typeof deliveryRecord>[0]>(
    database,
    `SELECT version, state, attempts, last_status AS lastStatus, next_at AS nextAt
      FROM delivery WHERE run = ? ORDER BY version DESC LIMIT ${maxShownDeliveries}`,
  )
  // Steps from each receiver to the next one, and skips the deliveries in between.
  const selectReceivers = prepareSelect<{ readonly receiver: string; readonly nextAt: number }>(
    database,
    `SELECT name AS receiver, (SELECT min(next_at) FROM delivery WHERE receiver = name AND ${isFree}) AS nextAt
      FROM (WITH RECURSIVE known (name) AS (
        SELECT min(receiver) FROM delivery WHERE receiver > ? AND ${isFree}
        UNION ALL
        SELECT (SELECT min(receiver) FROM delivery WHERE receiver > name AND ${isFree}) FROM known WHERE name IS NOT NULL
        LIMIT ${receiversPerClaim})
      SELECT name FROM known WHERE name IS NOT NULL)`,
  )
  const selectFree = prepareSelect<StoredRow>(
    database,
    `SELECT record.id, delivery.run AS key, delivery.version, receiver, outcome, ended_at AS endedAt, attempts,
      next_at AS nextAt
      FROM delivery JOIN record ON record.key = delivery.run
      WHERE receiver = ? AND ${isFree} ORDER BY next_at LIMIT ?`,
  )
  const take = database.prepare('UPDATE delivery SET is_taken = 1 WHERE run = ? AND version = ?')
  // Changes nothing if the delivery was handed back, and another try has ended since.
  const noteEnd = database.prepare(`
    UPDATE delivery SET state = ?, attempts = attempts + 1, last_status = ?, next_at = ?, is_taken = 0
    WHERE run = ? AND version = ? AND attempts = ? AND is_taken = 1`)
  // A pending delivery keeps the number of its tries, and the due time if a try is under way.
  const restart = database.prepare(`
    UPDATE delivery SET attempts = CASE state WHEN 0 THEN attempts ELSE 0 END, state = 0,
      next_at = CASE is_taken WHEN 0 THEN ? ELSE next_at END
    WHERE run = ? AND version = ?`)
  const selectClaimed = prepareSelect<{ readonly run: number; readonly version: number }>(
    database,
    'SELECT run, version FROM delivery WHERE is_taken = 1',
  )
  const handBack = database.prepare('UPDATE delivery SET is_taken = 0 WHERE run = ? AND version = ?')
  const moveDueTimes = database.prepare('UPDATE delivery SET next_at = next_at + ? WHERE next_at IS NOT NULL')
  const shorten = database.prepare('UPDATE delivery SET next_at = ?1 WHERE next_at > ?1 AND attempts = ?2')
  const removeOf = database.prepare('DELETE FROM delivery WHERE run = ?')

  return {
    /** Adds the delivery that a change makes due, if it ends a run with a webhook. */
    add(key: number, before: Run, after: Run): void {
      const due = deliveryOfEnd(before, after)
      if (due === null) return
      const { version, receiver, outcome, endedAt } = due
      insert.run(key, version, receiver, stateNumber(outcome), endedAt, endedAt)
    },
    of: (key: number) => selectOf(key).toReversed().map(deliveryRecord),
    claim(request: DeliveryRequest): DeliveryClaims {
      const { at, among } = request
      const receivers = among?.map((receiver) => ({ receiver, nextAt: at })) ?? selectReceivers(request.after)
      const { wanted, nextDueAt, after } = wantedReceivers(receivers, request)
      const rows = wanted.flatMap(({ receiver, room }) => selectFree(receiver, Math.min(room, request.limit) + 1))
      const found = chooseDeliveries(rows, wanted, request)
      for (const { key, version } of found.chosen) take.run(key, version)
      const deliveries = found.chosen.map((row) => claimedDelivery({ ...row, run: idOfBytes(row.id) }))
      return { deliveries, nextDueAt: earliest(nextDueAt, found.nextDueAt), after }
    },
    endTry(
      key: number,
      { version, attempts }: Pick<ClaimedDelivery, 'version' | 'attempts'>,
      { state, lastStatus, nextAt }: TryResult,
    ): void {
      noteEnd.run(deliveryStateNumber(state), lastStatus, nextAt, key, version, attempts)
    },
    /** Makes it due at once. @returns whether there is such a delivery */
    retry: (key: number, version: number, at: number) => restart.run(at, key, version).changes > 0,
    /** Hands back every claimed delivery that is not in `kept`. */
    release(kept: readonly (readonly [key: number, version: number])[]): void {
      const keptNames = new Set(kept.map(([key, version]) => `${key} ${version}`))
      for (const { run, version } of selectClaimed()) {
        if (!keptNames.has(`${run} ${version}`)) handBack.run(run, version)
      }
    },
    /** Call when the clock was set by this much: waits keep their length. */
    shift: (byMs: number) => void moveDueTimes.run(byMs),
    /** Call on opening, in case the clock was set back: no delivery waits longer than it may after its number of tries. */
    bound(at: number): void {
      for (const [attempts, waitMs] of maxDeliveryWaitsMs.entries()) shorten.run(at + waitMs, attempts)
    },
    removeRun: (key: number) => void removeOf.run(key),
  }
}
