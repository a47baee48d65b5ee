/**
 * Since when processes have been there to see ticks: a process that starts goes on where others, that live still, have been
 * before it. Whether another one lives is seen by its heartbeat, which changes; the row of a dead one can stay for long.
 */
import type { Limits, Query, Row } from '../connection/connection.ts'
import { heartbeatText } from './lease.ts'

const forget = { name: 'forget-watch', text: 'UPDATE process SET watched_since = NULL WHERE id = $1' }
const selectOthers = {
  name: 'select-watches',
  text: `SELECT id, ${heartbeatText} AS heartbeat, watched_since FROM process WHERE id <> $1`,
}
const note = { name: 'note-watch', text: 'UPDATE process SET watched_since = $2 WHERE id = $1' }

interface Watch {
  readonly at: number
  /** On the clock of `performance.now()`. */
  readonly begunAt: number
  readonly heartbeats: ReadonlySet<unknown>
  since: number | null
}

/** @param process number of this one @returns see `watchedSince` of the store's notifier */
export function createTickWatch(query: Query, process: number, { renewMs, roundMs }: Limits) {
  let watch: Watch | null = null

  async function begin(at: number): Promise<Watch> {
    // Others are not to rely on what it knew before.
    await query(forget, [process])
    const others = await query(selectOthers, [process])
    return {
      at,
      begunAt: performance.now(),
      heartbeats: new Set(others.map(({ heartbeat }) => heartbeat)),
      since: null,
    }
  }

  return async (at: number): Promise<number | null> => {
    if (watch?.at !== at) watch = await begin(at)
    if (watch.since !== null) return watch.since
    const others = await query(selectOthers, [process])
    const { begunAt, heartbeats } = watch
    const knowing = others.filter((row) => !heartbeats.has(row['heartbeat']) && sinceOf(row) !== null)
    // Long enough for each that lives to have renewed its lease, and to know by itself.
    const isLate = performance.now() - begunAt > 2 * renewMs + roundMs
    if (knowing.length < others.length && !isLate) return null
    const since = Math.min(at, ...knowing.map((row) => sinceOf(row) ?? at))
    await query(note, [process, since])
    watch.since = since
    return since
  }
}

function sinceOf(row: Row): number | null {
  const since = row['watched_since']
  return typeof since === 'number' ? since : null
}
