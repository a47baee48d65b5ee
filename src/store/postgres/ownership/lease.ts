/**
 * Leases: the thread that keeps this process's own, and which other processes are silent. A process is silent when its
 * heartbeat has not changed for some time, as this process's own clock measures it: no two wall clocks are compared, and
 * a step of the server's clock makes no process look dead.
 */
import { Worker } from 'node:worker_threads'
import { allocateHeartbeat, createHeartbeat, type StallOptions } from '../../../runtime/stall-watch.ts'
import type { Database, Query } from '../connection/connection.ts'

export interface LeaseThreadOptions extends Database {
  /** Number of the process. */
  readonly owner: number
  readonly heartbeat: SharedArrayBuffer
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  /** null: nobody watches the main thread. */
  readonly stall: StallOptions | null
}

export type FromLeaseThread = { readonly type: 'renewed' } | { readonly type: 'missed'; readonly reason: string }

export type Lease = ReturnType<typeof createLease>

interface LeaseOptions extends Omit<LeaseThreadOptions, 'heartbeat'> {
  /** The thread is gone, and nobody keeps the lease any more. */
  readonly onLost: (error: Error) => void
}

const beatMs = 1_000

export function createLease({ onLost, ...options }: LeaseOptions) {
  const heartbeat = allocateHeartbeat()
  // A renewal that is reported later than this does not count.
  const maxGapMs = options.timing.renewMs * 2.5
  const { beat } = createHeartbeat(heartbeat)
  const started = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  let worker: Worker | null = null
  let beating: NodeJS.Timeout | undefined
  let keptSince: number | null = null
  let renewedAt = 0
  let isStopping = false

  function onMessage(message: FromLeaseThread): void {
    const now = performance.now()
    if (message.type === 'missed') {
      keptSince = null
      started.reject(new Error(message.reason))
      return
    }
    if (keptSince === null || now - renewedAt > maxGapMs) keptSince = now
    renewedAt = now
    started.resolve()
  }

  function onGone(error: Error): void {
    clearInterval(beating)
    started.reject(error)
    ended.resolve()
    if (!isStopping) onLost(error)
    isStopping = true
  }

  return {
    /** Resolves with the first renewal. */
    start(): Promise<void> {
      beating = setInterval(beat, beatMs)
      const entry = import.meta.url.endsWith('.ts') ? './lease-thread.ts' : './lease-thread.js'
      const workerData: LeaseThreadOptions = { ...options, heartbeat }
      worker = new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [], name: 'lease' })
      worker.on('message', onMessage)
      worker.on('error', onGone)
      worker.on('exit', (code) => onGone(new Error(`the thread that keeps the lease ended with code ${code}`)))
      return started.promise
    },
    /** Milliseconds since which it has been renewed without a gap. */
    keptForMs(): number {
      const now = performance.now()
      return keptSince === null || now - renewedAt > maxGapMs ? 0 : now - keptSince
    },
    async stop(): Promise<void> {
      if (worker === null || isStopping) return
      isStopping = true
      worker.postMessage('stop')
      await ended.promise
    },
  }
}

/** SQL: id and heartbeat of a row of `process`. */
export const heartbeatText = `process.id || ' ' || extract(epoch FROM process.heartbeat_at)`

/** SQL: whether the process of a row of `holder` has no lease, or one of the silent heartbeats. @param silent SQL of an array */
export function isAbandoned(silent: string): string {
  return `NOT EXISTS (
      SELECT 1 FROM process WHERE process.id = holder.process AND ${heartbeatText} <> ALL (${silent}::text[]))`
}

const selectHeartbeats = { name: 'select-heartbeats', text: `SELECT ${heartbeatText} AS heartbeat FROM process` }

export type Heartbeats = ReturnType<typeof createHeartbeats>

export function createHeartbeats() {
  /** When each was seen first, on the clock of `performance.now()`. */
  let seen = new Map<string, number>()
  // True until the first look, and after a greeting.
  let hasOthers = true
  let meetings = 0

  return {
    /** Whether other processes may exist: without them nothing is notified. */
    hasOthers: (): boolean => hasOthers,
    /** Another process has just said that it exists. */
    meet(): void {
      hasOthers = true
      meetings += 1
    },
    /** @throws DatabaseFailure */
    async look(query: Query): Promise<void> {
      const before = meetings
      const rows = await query(selectHeartbeats)
      // A process that started during the query may be missing from its rows.
      if (before === meetings) hasOthers = rows.length > 1
      const now = performance.now()
      seen = new Map(rows.map((row) => String(row['heartbeat'])).map((text) => [text, seen.get(text) ?? now]))
    },
    /** Heartbeats that have not changed for `ms` milliseconds, each with its process. */
    unchangedFor(ms: number): string[] {
      const now = performance.now()
      return [...seen].filter(([, firstSeenAt]) => now - firstSeenAt >= ms).map(([text]) => text)
    },
  }
}
