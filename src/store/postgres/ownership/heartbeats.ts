/**
 * Which processes are silent: their heartbeats have not changed for some time, as this process's own clock measures it. No
 * two wall clocks are compared, and a step of the server's clock makes no process look dead.
 */
import type { Query } from '../connection/connection.ts'

export interface Heartbeats {
  /** @throws DatabaseFailure */
  look(query: Query): Promise<void>
  /** Whether other processes may exist: without them nothing is notified. */
  hasOthers(): boolean
  /** Another process has just said that it exists. */
  meet(): void
  /** The heartbeats that have not changed for so long, each with its process. */
  unchangedFor(ms: number): string[]
}

/** As SQL has it, of a row of process: its id and its heartbeat. */
export const heartbeatText = `process.id || ' ' || extract(epoch FROM process.heartbeat_at)`

/** As SQL has it: whether the process of a row of holder has no lease, or one of these heartbeats. @param silent an array */
export function isAbandoned(silent: string): string {
  return `NOT EXISTS (
      SELECT 1 FROM process WHERE process.id = holder.process AND ${heartbeatText} <> ALL (${silent}::text[]))`
}

const select = { name: 'select-heartbeats', text: `SELECT ${heartbeatText} AS heartbeat FROM process` }

export function createHeartbeats(): Heartbeats {
  /** When each was seen first, on the clock of `performance.now()`. */
  let seen = new Map<string, number>()
  // True before the first look, and after a greeting.
  let hasOthers = true
  let meetings = 0

  return {
    hasOthers: () => hasOthers,
    meet() {
      hasOthers = true
      meetings += 1
    },
    async look(query) {
      const before = meetings
      const rows = await query(select)
      // A process that has come during the query may not be in its rows.
      if (before === meetings) hasOthers = rows.length > 1
      const now = performance.now()
      seen = new Map(rows.map((row) => String(row['heartbeat'])).map((text) => [text, seen.get(text) ?? now]))
    },
    unchangedFor(ms) {
      const now = performance.now()
      return [...seen].filter(([, firstSeenAt]) => now - firstSeenAt >= ms).map(([text]) => text)
    },
  }
}
