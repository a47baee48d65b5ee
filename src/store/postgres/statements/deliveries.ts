/**
 * Deliveries as rows: claimed by one process, settled, and handed back. The statement that writes runs (`save.ts`) adds and
 * removes them.
 */
import { isRunId } from '../../../domain/ids.ts'
import { type DeliveryRecord, maxDeliveryWaitsMs, type TryResult } from '../../../domain/webhook.ts'
import type { ClaimedDelivery, NewDelivery } from '../../../domain/run.ts'
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
import { columns, type Query } from '../connection/connection.ts'
import { heartbeatText } from '../ownership/lease.ts'

const isFree = 'next_at IS NOT NULL AND holder IS NULL'

/** Part of the statement that writes, with a question mark for each value. The first try is due when the run ends. */
export const insertDeliveries = `INSERT INTO delivery (run, version, receiver, outcome, ended_at, next_at)
  SELECT new.*, new.ended_at FROM unnest(?::uuid[], ?::integer[], ?::text[], ?::smallint[], ?::bigint[])
    AS new (run, version, receiver, outcome, ended_at)`

export function deliveryRow({ outcome, ...rest }: NewDelivery) {
  return { ...rest, outcome: stateNumber(outcome) }
}

const selectOf = {
  name: 'select-deliveries',
  text: `
    SELECT version, state, attempts, last_status AS "lastStatus", next_at AS "nextAt" FROM delivery WHERE run = $1
    ORDER BY version DESC LIMIT ${maxShownDeliveries}`,
}
// Skips from receiver to receiver, without reading their other deliveries.
const selectReceivers = {
  name: 'select-receivers',
  text: `
    WITH RECURSIVE known (name, place) AS (
      (SELECT receiver, 1 FROM delivery WHERE receiver > $1 AND ${isFree} ORDER BY receiver LIMIT 1)
      UNION ALL
      SELECT (SELECT receiver FROM delivery WHERE receiver > known.name AND ${isFree} ORDER BY receiver LIMIT 1), place + 1
      FROM known WHERE known.name IS NOT NULL AND place < ${receiversPerClaim})
    SELECT name AS receiver, first.next_at AS "nextAt" FROM known
    CROSS JOIN LATERAL (
      SELECT next_at FROM delivery WHERE receiver = known.name AND ${isFree} ORDER BY next_at LIMIT 1) AS first
    ORDER BY place`,
}
const selectFree = {
  name: 'select-free-deliveries',
  text: `
    SELECT found.* FROM unnest($1::text[], $2::integer[]) AS wanted (receiver, room)
    CROSS JOIN LATERAL (
      SELECT run, version, receiver, outcome, ended_at AS "endedAt", attempts, next_at AS "nextAt" FROM delivery
      WHERE receiver = wanted.receiver AND ${isFree} ORDER BY next_at LIMIT wanted.room + 1) AS found`,
}
// Another process may have chosen the same deliveries: each process takes those that the other has not taken.
const take = {
  name: 'take-deliveries',
  text: `
    WITH free AS (
      SELECT delivery.run, delivery.version FROM delivery
      JOIN unnest($1::uuid[], $2::integer[]) AS chosen (run, version) USING (run, version)
      WHERE ${isFree} FOR UPDATE OF delivery SKIP LOCKED)
    UPDATE delivery SET holder = $3 FROM free WHERE delivery.run = free.run AND delivery.version = free.version
    RETURNING delivery.run, delivery.version`,
}
// Changes nothing if the delivery was handed back, and another try is over or another process has it.
const end = {
  name: 'end-try',
  text: `
    UPDATE delivery SET state = $1, attempts = attempts + 1, last_status = $2, next_at = $3, holder = NULL
    WHERE run = $4 AND version = $5 AND attempts = $6 AND holder = $7`,
}
const restart = {
  name: 'restart-delivery',
  text: `
    UPDATE delivery SET attempts = CASE state WHEN 0 THEN attempts ELSE 0 END, state = 0,
      next_at = CASE WHEN holder IS NULL THEN $3 ELSE next_at END
    WHERE run = $1 AND version = $2 RETURNING 1`,
}
const release = {
  name: 'release-deliveries',
  text: `
    WITH lost AS (
      SELECT run, version FROM delivery
      WHERE holder IS NOT NULL AND (
        (holder = $1 AND NOT EXISTS (
          SELECT 1 FROM unnest($2::uuid[], $3::integer[]) AS kept (run, version)
          WHERE kept.run = delivery.run AND kept.version = delivery.version))
        OR (holder <> $1 AND NOT EXISTS (
          SELECT 1 FROM process WHERE process.id = delivery.holder AND ${heartbeatText} <> ALL ($4::text[]))))
      FOR UPDATE SKIP LOCKED)
    UPDATE delivery SET holder = NULL, next_at = least(next_at, $5::bigint) FROM lost
    WHERE delivery.run = lost.run AND delivery.version = lost.version`,
}
// The n-th value is the longest wait after n - 1 tries.
const shorten = {
  name: 'shorten-waits-of-deliveries',
  text: `
    UPDATE delivery SET next_at = $1::bigint + longest.ms FROM unnest($2::bigint[]) WITH ORDINALITY AS longest (ms, nth)
    WHERE ${isFree} AND attempts = longest.nth - 1 AND next_at > $1 + longest.ms`,
}

export async function readDeliveries(query: Query, runId: string): Promise<DeliveryRecord[]> {
  // The statement selects these members.
  return ((await query(selectOf, [runId])) as unknown as Parameters<typeof deliveryRecord>[0][])
    .toReversed()
    .map(deliveryRecord)
}

/** @param processId number of the process that sends the deliveries */
export async function claimDeliveries(
  query: Query,
  processId: number,
  request: DeliveryRequest,
): Promise<DeliveryClaims> {
  const { at, after: last, among } = request
  const receivers =
    among?.map((receiver) => ({ receiver, nextAt: at })) ??
    // The statement selects these members.
    ((await query(selectReceivers, [last])) as unknown as Parameters<typeof wantedReceivers>[0])
  const { wanted, nextDueAt, after } = wantedReceivers(receivers, request)
  if (wanted.length === 0) return { deliveries: [], nextDueAt, after }
  const bounded = wanted.map(({ receiver, room }) => ({ receiver, room: Math.min(room, request.limit) }))
  const rows = (await query(selectFree, columns(bounded, 'receiver', 'room'))) as unknown as DeliveryRow[]
  const found = chooseDeliveries(rows, wanted, request)
  const taken = await query(take, [...columns(found.chosen, 'run', 'version'), processId])
  const isTaken = ({ run, version }: DeliveryRow): boolean =>
    taken.some((row) => row['run'] === run && row['version'] === version)
  return {
    deliveries: found.chosen.filter(isTaken).map(claimedDelivery),
    // Another process has taken some of the chosen deliveries: there may be more.
    nextDueAt: taken.length < found.chosen.length ? request.at : earliest(nextDueAt, found.nextDueAt),
    after,
  }
}

export async function endDeliveryTry(
  query: Query,
  processId: number,
  { runId, version, attempts }: ClaimedDelivery,
  { state, lastStatus, nextAt }: TryResult,
): Promise<void> {
  await query(end, [deliveryStateNumber(state), lastStatus, nextAt, runId, version, attempts, processId])
}

export async function retryDelivery(query: Query, runId: string, version: number, at: number): Promise<boolean> {
  return isRunId(runId) && (await query(restart, [runId, version, at])).length > 0
}

/**
 * Hands back the deliveries that this process does not send, and those of dead processes.
 * @param silent heartbeats of dead processes; a process without a lease is dead, too
 */
export async function releaseDeliveries(
  query: Query,
  processId: number,
  kept: readonly Pick<ClaimedDelivery, 'runId' | 'version'>[],
  silent: readonly string[],
  at: number,
): Promise<void> {
  // Each held delivery was due by its holder's clock, so it is due now.
  await query(release, [processId, ...columns(kept, 'runId', 'version'), silent, at])
}

/** Shortens waits that a step of a clock has made longer, or that a process with a fast clock has noted. */
export async function boundDeliveries(query: Query, at: number): Promise<void> {
  await query(shorten, [at, maxDeliveryWaitsMs])
}
