/**
 * Leases: a thread keeps the lease of this process, and the leases of other processes are watched. A process is silent when
 * its heartbeat has not changed for some time on this process's own clock. So no two wall clocks are compared, and a step
 * of the server's clock makes no process look dead.
 */
import { Worker } from 'node:worker_threads'
import { allocateHeartbeat, createHeartbeat, type StallOptions } from '../../../runtime/stall-watch.ts'
import type { Database, Query } from '../connection/connection.ts'

export interface LeaseThreadOptions extends Database {
  /** Number of this process. */
  readonly processId: number
  /** In which the main thread shows that its loop turns. */
  readonly beats: SharedArrayBuffer
  /** Tasks that run here; null: any. */
  readonly tasks: readonly string[] | null
  /** null: the main thread is not watched. */
  readonly stall: StallOptions | null
}

export type FromLeaseThread = { readonly type: 'renewed' } | { readonly type: 'missed'; readonly reason: string }

export type Lease = ReturnType<typeof createLease>

interface LeaseOptions extends Omit<LeaseThreadOptions, 'beats'> {
  /** Called when the thread has ended, and the lease is no longer kept. */
  readonly onLost: (error: Error) => void
}

const beatMs = 1_000

export function createLease({ onLost, ...options }: LeaseOptions) {
  const beats = allocateHeartbeat()
  // A longer pause between two renewals is a gap.
  const maxGapMs = options.timing.renewMs * 2.5
  const { beat } = createHeartbeat(beats)
  const started = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  let worker: Worker | null = null
  let beating: NodeJS.Timeout | undefined
  let keptSince: number | null = null
  let renewedAt = 0
  let isStopping = false

  const hasGap = (now: number): boolean => keptSince === null || now - renewedAt > maxGapMs

  function onMessage(message: FromLeaseThread): void {
    const now = performance.now()
    if (message.type === 'missed') {
      keptSince = null
      started.reject(new Error(message.reason))
      return
    }
    if (hasGap(now)) keptSince = now
    renewedAt = now
    started.resolve()
  }

  function onEnded(error: Error): void {
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
      const workerData: LeaseThreadOptions = { ...options, beats }
      worker = new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [], name: 'lease' })
      worker.on('message', onMessage)
      worker.on('error', onEnded)
      worker.on('exit', (code) => onEnded(new Error(`the thread that keeps the lease ended with code ${code}`)))
      return started.promise
    },
    /** For how many milliseconds the lease has been renewed without a gap; 0 if it is not kept now. */
    keptForMs(): number {
      const now = performance.now()
      return keptSince === null || hasGap(now) ? 0 : now - keptSince
    },
    async stop(): Promise<void> {
      if (worker === null || isStopping) return
      isStopping = true
      worker.postMessage('stop')
      await ended.promise
    },
  }
}

/** SQL: a heartbeat, the id and the last renewal of a row of `process`. */
export const heartbeatText = `process.id || ' ' || extract(epoch FROM process.heartbeat_at)`

/** SQL: whether the process of a row of `holder` is dead: it has no lease, or one of the `silent` heartbeats (SQL of an array). */
export function isAbandoned(silent: string): string {
  return `NOT EXISTS (
      SELECT 1 FROM process WHERE process.id = holder.process AND ${heartbeatText} <> ALL (${silent}::text[]))`
}

const selectHeartbeats = { name: 'select-heartbeats', text: `SELECT ${heartbeatText} AS heartbeat FROM process` }

/** Watches the heartbeats of all processes. */
export function createProcessWatch() {
  /** When each heartbeat was first seen, on the clock of `performance.now()`. */
  let seen = new Map<string, number>()
  /** True until the first look, and after each greeting until the next one. */
  let hasOthers = true
  let greetings = 0

  return {
    /** Whether other processes may exist. */
    hasOthers: (): boolean => hasOthers,
    /** Call when another process has sent a greeting. */
    noteGreeting(): void {
      hasOthers = true
      greetings += 1
    },
    /** @throws DatabaseFailure */
    async look(query: Query): Promise<void> {
      const before = greetings
      const rows = await query(selectHeartbeats)
      // A process that started during the query may be missing from its rows.
      if (before === greetings) hasOthers = rows.length > 1
      const now = performance.now()
      seen = new Map(rows.map((row) => String(row['heartbeat'])).map((text) => [text, seen.get(text) ?? now]))
    },
    /** The heartbeats that have not changed for `ms` milliseconds. */
    silentFor(ms: number): string[] {
      const now = performance.now()
      return [...seen].filter(([, firstSeenAt]) => now - firstSeenAt >= ms).map(([text]) => text)
    },
  }
}
