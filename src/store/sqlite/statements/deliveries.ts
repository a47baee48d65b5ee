/** Deliveries as rows: added with the end of their run, claimed, settled, and forgotten with the run. */
import type { DatabaseSync } from 'node:sqlite'
import { type DeliveryRecord, maxDeliveryWaitsMs, type TryResult } from '../../../domain/webhook.ts'
import { type ClaimedDelivery, deliveryOfEnd } from '../../../domain/run/verbs.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import {
  chosenOf,
  type DeliveryClaims,
  type DeliveryRequest,
  earliest,
  maxShownDeliveries,
  receiversPerClaim,
  wantedOf,
} from '../../claim-requests.ts'
import { claimedDelivery, deliveryRecord, type DeliveryRow, deliveryStateNumber } from '../../rows.ts'
import { stateNumber } from '../../run-codec.ts'
import { idOfBytes, prepareSelect } from '../connection/node-sqlite.ts'

/** `run` is the key of a record. */
export interface Deliveries {
  /** Adds the one that is due because of the change, if there is one. */
  add(run: number, before: Run, after: Run): void
  of(run: number): DeliveryRecord[]
  claim(request: DeliveryRequest): DeliveryClaims
  settle(run: number, delivery: Pick<ClaimedDelivery, 'version' | 'attempts'>, result: TryResult): void
  /** Makes it due at once; whether there is one. */
  retry(run: number, version: number, at: number): boolean
  /** Hands back what is taken and not among these. */
  release(kept: readonly (readonly [run: number, version: number])[]): void
  shift(byMs: number): void
  /** None waits longer than any is to wait. */
  bound(at: number): void
  forget(run: number): void
}

type StoredRow = DeliveryRow & { readonly key: number; readonly id: Uint8Array }

const isFree = 'next_at IS NOT NULL AND is_taken = 0'

export function createDeliveries(database: DatabaseSync): Deliveries {
  const insert = database.prepare(`
    INSERT INTO delivery (run, version, receiver, outcome, ended_at, state, attempts, next_at, is_taken)
    VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0)`)
  const selectOf = prepareSelect<Parameters<typeof deliveryRecord>[0]>(
    database,
    'version, state, attempts, last_status AS lastStatus, next_at AS nextAt',
    `FROM delivery WHERE run = ? ORDER BY version DESC LIMIT ${maxShownDeliveries}`,
  )
  // From each receiver to the next one, without the deliveries in between.
  const selectReceivers = prepareSelect<{ readonly receiver: string; readonly nextAt: number }>(
    database,
    `name AS receiver, (SELECT min(next_at) FROM delivery WHERE receiver = name AND ${isFree}) AS nextAt`,
    `FROM (WITH RECURSIVE known (name) AS (
        SELECT min(receiver) FROM delivery WHERE receiver > ? AND ${isFree}
        UNION ALL
        SELECT (SELECT min(receiver) FROM delivery WHERE receiver > name AND ${isFree}) FROM known WHERE name IS NOT NULL
        LIMIT ${receiversPerClaim})
      SELECT name FROM known WHERE name IS NOT NULL)`,
  )
  const selectFree = prepareSelect<StoredRow>(
    database,
    `record.id, delivery.run AS key, delivery.version, receiver, outcome, ended_at AS endedAt, attempts,
      next_at AS nextAt`,
    `FROM delivery JOIN record ON record.key = delivery.run
      WHERE receiver = ? AND ${isFree} ORDER BY next_at LIMIT ?`,
  )
  const take = database.prepare('UPDATE delivery SET is_taken = 1 WHERE run = ? AND version = ?')
  // Not where it was handed back, and another try is under way or over.
  const end = database.prepare(`
    UPDATE delivery SET state = ?, attempts = attempts + 1, last_status = ?, next_at = ?, is_taken = 0
    WHERE run = ? AND version = ? AND attempts = ? AND is_taken = 1`)
  const restart = database.prepare(`
    UPDATE delivery SET attempts = CASE state WHEN 0 THEN attempts ELSE 0 END, state = 0,
      next_at = CASE is_taken WHEN 0 THEN ? ELSE next_at END
    WHERE run = ? AND version = ?`)
  const selectTaken = prepareSelect<{ readonly run: number; readonly version: number }>(
    database,
    'run, version',
    'FROM delivery WHERE is_taken = 1',
  )
  const free = database.prepare('UPDATE delivery SET is_taken = 0 WHERE run = ? AND version = ?')
  const move = database.prepare('UPDATE delivery SET next_at = next_at + ? WHERE next_at IS NOT NULL')
  const shorten = database.prepare('UPDATE delivery SET next_at = ?1 WHERE next_at > ?1 AND attempts = ?2')
  const remove = database.prepare('DELETE FROM delivery WHERE run = ?')

  return {
    add(run, before, after) {
      const due = deliveryOfEnd(before, after)
      if (due === null) return
      const { version, receiver, outcome, endedAt } = due
      insert.run(run, version, receiver, stateNumber(outcome), endedAt, endedAt)
    },
    of: (run) => selectOf(run).toReversed().map(deliveryRecord),
    claim(request) {
      const { at, among } = request
      const receivers = among?.map((receiver) => ({ receiver, nextAt: at })) ?? selectReceivers(request.after)
      const { wanted, nextDueAt, after } = wantedOf(receivers, request)
      const rows = wanted.flatMap(({ receiver, room }) => selectFree(receiver, Math.min(room, request.limit) + 1))
      const found = chosenOf(rows, wanted, request)
      for (const { key, version } of found.chosen) take.run(key, version)
      const deliveries = found.chosen.map((row) => claimedDelivery({ ...row, run: idOfBytes(row.id) }))
      return { deliveries, nextDueAt: earliest(nextDueAt, found.nextDueAt), after }
    },
    settle(run, { version, attempts }, { state, lastStatus, nextAt }) {
      end.run(deliveryStateNumber(state), lastStatus, nextAt, run, version, attempts)
    },
    retry: (run, version, at) => restart.run(at, run, version).changes > 0,
    release(kept) {
      const names = new Set(kept.map(([run, version]) => `${run} ${version}`))
      for (const { run, version } of selectTaken()) if (!names.has(`${run} ${version}`)) free.run(run, version)
    },
    shift: (byMs) => void move.run(byMs),
    bound(at) {
      for (const [attempts, waitMs] of maxDeliveryWaitsMs.entries()) shorten.run(at + waitMs, attempts)
    },
    forget: (run) => void remove.run(run),
  }
}
