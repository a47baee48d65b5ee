/** This process's right to its jobs, as the main thread sees it: kept by a thread, and known to be kept or not. */
import { Worker } from 'node:worker_threads'
import { allocateHeartbeat, createHeartbeat } from '../../../domain/heartbeat.ts'
import type { StallOptions } from '../../stall-watch.ts'
import type { Database } from '../connection/connection.ts'

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

export interface Lease {
  /** Resolves when it was renewed for the first time. */
  start(): Promise<void>
  /** For how long it has been renewed without a gap, in milliseconds. */
  keptForMs(): number
  stop(): Promise<void>
}

export interface LeaseOptions extends Omit<LeaseThreadOptions, 'heartbeat'> {
  /** The thread is gone, and nobody keeps the lease any more. */
  readonly onLost: (error: Error) => void
}

const beatMs = 1_000

export function createLease({ onLost, ...options }: LeaseOptions): Lease {
  const heartbeat = allocateHeartbeat()
  // A renewal that is told later than this has not come.
  const maxGapMs = options.limits.renewMs * 2.5
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
    start() {
      beating = setInterval(beat, beatMs)
      const entry = import.meta.url.endsWith('.ts') ? './lease-thread.ts' : './lease-thread.js'
      const workerData: LeaseThreadOptions = { ...options, heartbeat }
      worker = new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [], name: 'lease' })
      worker.on('message', onMessage)
      worker.on('error', onGone)
      worker.on('exit', (code) => onGone(new Error(`the thread that keeps the lease ended with code ${code}`)))
      return started.promise
    },
    keptForMs() {
      const now = performance.now()
      return keptSince === null || now - renewedAt > maxGapMs ? 0 : now - keptSince
    },
    async stop() {
      if (worker === null || isStopping) return
      isStopping = true
      worker.postMessage('stop')
      await ended.promise
    },
  }
}
