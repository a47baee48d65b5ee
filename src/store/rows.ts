/** Rows that both engines keep outside the records: of schedules, deliveries, idempotency keys and steps. */
import { stepsPerPage, type StepPage } from '../domain/claim.ts'
import type { IdempotencyClaim } from '../domain/run/new-run.ts'
import { type DeliveryRecord, type DeliveryState, deliveryStates } from '../domain/webhook.ts'
import { type ClaimedDelivery, runStates } from '../domain/run.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { KnownKey } from './store.ts'

export interface ScheduleRow {
  readonly name: string
  readonly revision: string
  readonly nextAt: number | null
  /** The other members, as JSON text. */
  readonly rest: string
}

export function scheduleRow({ name, revision, nextAt, ...rest }: Schedule): ScheduleRow {
  return { name, revision, nextAt, rest: JSON.stringify(rest) }
}

/** @param row with the columns of the table; a large number may be text */
export function scheduleOf(row: Readonly<Record<string, unknown>>): Schedule {
  // `scheduleRow` wrote it.
  const rest = JSON.parse(String(row['schedule'])) as Omit<Schedule, 'name' | 'revision' | 'nextAt'>
  const nextAt = row['next_at'] === null ? null : Number(row['next_at'])
  return { ...rest, name: String(row['name']), revision: String(row['revision']), nextAt }
}

export interface DeliveryRow {
  readonly run: string
  readonly version: number
  readonly receiver: string
  readonly outcome: number
  readonly endedAt: number
  readonly attempts: number
  readonly nextAt: number
}

export function claimedDelivery({
  run: runId,
  version,
  receiver,
  outcome,
  endedAt,
  attempts,
}: Omit<DeliveryRow, 'nextAt'>): ClaimedDelivery {
  const state = runStates[outcome]
  if (state === undefined) throw new Error(`a delivery has the unknown outcome ${outcome}`)
  return { runId, version, receiver, outcome: state, endedAt, attempts }
}

/** The number of the state in a row. */
export function deliveryStateNumber(state: DeliveryState): number {
  return deliveryStates.indexOf(state)
}

export function deliveryRecord(row: {
  readonly version: number
  readonly state: number
  readonly attempts: number
  readonly lastStatus: number | null
  readonly nextAt: number | null
}): DeliveryRecord {
  const { version, attempts, lastStatus, nextAt } = row
  const state = deliveryStates[row.state]
  if (state === undefined) throw new Error(`a delivery has the unknown state ${row.state}`)
  return { version, state, attempts, lastStatus, nextAt }
}

/** How long an idempotency key is kept, unless its run is removed earlier. */
export const keyMs = 86_400_000

/** @param row of the key @returns the reply to a request with the key */
export function knownKey(row: Readonly<Record<string, unknown>>, { bodyDigest }: IdempotencyClaim): KnownKey {
  const runId = String(row['run_id'])
  if (row['body_digest'] !== bodyDigest) return { result: 'reused', runId }
  return { result: 'replayed', runId, isDeferred: Boolean(row['is_deferred']) }
}

/** @param rows a page of them; fewer rows mean that there are no more */
export function stepPage(rows: readonly Readonly<Record<string, unknown>>[]): StepPage {
  const last = rows.at(-1)
  return {
    steps: rows.map(({ name, value }) => ({ name: String(name), value: String(value) })),
    next: last === undefined || rows.length < stepsPerPage ? null : Number(last['place']) + 1,
  }
}
