/** The parts of the engine that know something of the database, or of other processes. The rest of the engine is made of them. */
import type { Log } from '../../log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
import { prepareDatabase } from './connection/boot.ts'
import { createConnect, createReader, defaultTiming, loadPg, type Timing } from './connection/connection.ts'
import { encodeNotification, type Notification, notify } from './notifications/codec.ts'
import { createRemoteProgress, type Subscribers } from './notifications/notifier.ts'
import { createProcessWatch } from './ownership/lease.ts'
import { createOwnedClaims, createQuarantine } from './ownership/owned-claims.ts'
import { createSearchIndex } from './search/index-writer.ts'
import { createInbox } from './statements/inbox.ts'
import { createRecordCache, createRecordDecoder } from './statements/records.ts'
import { createPausedTasks, createRateLimits } from './statements/tasks.ts'
import { createBacklog } from './statements/totals.ts'
import { createReadiness } from './writing/readiness.ts'

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string
  /** Schema of the tables: several services can share one database. */
  readonly schema: string
  /** How long to wait at the start for a server that cannot be reached, in milliseconds. */
  readonly connectWaitMs: number
  readonly timing?: Partial<Timing>
  /** Tasks that run here; no other jobs are claimed. Default: any. */
  readonly tasks?: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** Whether runs can be found by their words. The index is updated some time after each commit. Default: no. */
  readonly hasSearch?: boolean
  /** Ends the process when the main thread is blocked. Default: the main thread is not watched. */
  readonly stall?: StallOptions
  /** Called after each group with its number of verbs and its duration in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the lease is lost: other processes soon take over the jobs that run here. */
  readonly onLost: (error: Error) => void
}

export type Parts = Awaited<ReturnType<typeof createParts>>

/** Waits for the database, migrates it, and adds this process. @throws BootError */
export async function createParts(options: PostgresOptions, subscribers: Subscribers) {
  const { url, schema, tasks = null, hasSearch = false, clock, log } = options
  const timing = { ...defaultTiming, ...options.timing }
  const channel = `forerunner ${schema}`
  const pg = await loadPg()
  const database = { url, schema, timing }
  const connect = createConnect(pg, database)
  const startedAt = clock.now()
  const registration = { tasks, hasSearch, at: startedAt, waitMs: options.connectWaitMs, clock, log }
  const processId = await prepareDatabase(connect, database, registration)

  const reader = createReader(pg, database)
  const { query } = reader
  const decoder = createRecordDecoder(log)
  const owned = createOwnedClaims()
  const processes = createProcessWatch()
  const pauses = encodeNotification({ type: 'pauses', from: processId }).join('')
  return {
    database,
    timing,
    channel,
    connect,
    reader,
    query,
    clock,
    log,
    /** Number of this process. */
    processId,
    /** Tasks that run here; null: any. */
    tasks,
    decoder,
    cache: createRecordCache(),
    search: createSearchIndex({ processId, startedAt, hasSearch, query, decoder, clock, log }),
    readiness: createReadiness(processId, timing),
    /** The claims of this process. */
    owned,
    quarantine: createQuarantine(owned, timing.aloneMs),
    pausedTasks: createPausedTasks(query, channel, pauses),
    rateLimits: createRateLimits(),
    /** Of all processes. */
    backlog: createBacklog(),
    inbox: createInbox(reader, subscribers.requests),
    processes,
    remoteProgress: createRemoteProgress(),
    subscribers,
    async notifyOthers(notice: Notification): Promise<void> {
      if (processes.hasOthers()) await query(notify, [channel, encodeNotification(notice)])
    },
  }
}
