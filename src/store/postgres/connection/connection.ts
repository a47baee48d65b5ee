/** Connections to the server, their settings and time limits, and statements. Every error is a `DatabaseFailure`. */
import type { Duplex } from 'node:stream'
import type { Client, ClientConfig, PoolClient } from 'pg'
import { BootError } from '../../../domain/errors.ts'
import { DatabaseFailure } from './errors.ts'

export type Pg = typeof import('pg')

/** A row, by column. */
export type Row = Readonly<Record<string, unknown>>

export interface Statement {
  /** Prepared under this name, once per connection. */
  readonly name: string
  readonly text: string
}

/** A statement that is planned each time it runs. */
export type Text = Pick<Statement, 'text'>

/** @throws DatabaseFailure */
export type Query = (statement: Statement | Text, values?: readonly unknown[]) => Promise<Row[]>

export interface Connection {
  /** On a connection for writing, statements of the same turn are pipelined, and run one after the other. */
  readonly query: Query
  /** Statements that are sent before the function returns leave in one packet. */
  readonly together: <Value>(ask: () => Value) => Value
  /** Whether it can still be used. */
  isOpen(): boolean
  /** Calls back with each notification of the channels that it listens to. */
  onNotification(listener: (payload: string) => void): void
  /** Calls back once, when the connection ended without a call of `end`. */
  onLost(listener: () => void): void
  /** Ends it at once, without waiting for a server that may be frozen. */
  destroy(): void
  end(): Promise<void>
}

export interface Database {
  /** `postgres://…`, as libpq takes it. */
  readonly url: string
  readonly schema: string
  readonly limits: Limits
}

export type Purpose = 'write' | 'read' | 'listen' | 'lease' | 'migrate'

/** @throws DatabaseFailure */
export type Connect = (purpose: Purpose) => Promise<Connection>

/** The time limit of migrations: they may rewrite a large table, or wait for another process that does. */
const migrationLimitMs = 600_000
const keepAliveMs = 10_000

/** @throws BootError where the package is missing */
export async function loadPg(): Promise<Pg> {
  try {
    return await import('pg')
  } catch (error) {
    if (Reflect.get(Object(error), 'code') !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new BootError('a database at postgres://… needs the package pg: run "npm install pg"', error)
  }
}

export function configFor(pg: Pg, { url, limits }: Database): ClientConfig {
  return {
    connectionString: url,
    application_name: 'forerunner',
    connectionTimeoutMillis: limits.connectMs,
    query_timeout: limits.queryMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    types: { getTypeParser: typeParserOf(pg) },
  }
}

export function createConnect(pg: Pg, database: Database): Connect {
  const config = configFor(pg, database)
  return async (purpose) => {
    const ownConfig = purpose === 'migrate' ? { query_timeout: migrationLimitMs } : { pipeline: purpose === 'write' }
    const client = new pg.Client({ ...config, ...ownConfig })
    const connection = wrap(client)
    try {
      await client.connect()
      await client.query(settingsFor(purpose, database))
    } catch (error) {
      connection.destroy()
      throw new DatabaseFailure(error, 'connecting to PostgreSQL')
    }
    return connection
  }
}

export function settingsFor(purpose: Purpose, { schema, limits }: Database): string {
  const settings = [
    `SET search_path = "${schema}"`,
    `SET statement_timeout = ${purpose === 'migrate' ? migrationLimitMs : limits.statementMs}`,
    // Ends the locks of a process that froze in the middle of a transaction.
    `SET idle_in_transaction_session_timeout = ${limits.queryMs}`,
    // A reply means that the data is on disk, whatever the role's default is.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
  ]
  if (purpose === 'write' || purpose === 'read') {
    // Every statement finds its rows by keys or in the order of an index. With old statistics, or none, the planner
    // would choose a scan, a hash or a bitmap of a whole table.
    settings.push('SET jit = off')
    for (const method of ['seqscan', 'hashjoin', 'mergejoin', 'bitmapscan']) settings.push(`SET enable_${method} = off`)
  }
  // One plan per prepared statement.
  if (purpose === 'write') settings.push("SET plan_cache_mode = 'force_generic_plan'")
  return settings.join('; ')
}

function wrap(client: Client): Connection {
  const listeners: (() => void)[] = []
  let isOpen = true

  // With TLS the stream is replaced after the start.
  const streamNow = (): Duplex => (Reflect.get(client, 'connection') as { readonly stream: Duplex }).stream

  function lose(): void {
    if (!isOpen) return
    isOpen = false
    for (const listener of listeners) listener()
  }
  // Without a listener, an error of an idle connection would end the process.
  client.on('error', lose)
  client.on('end', lose)

  function destroy(): void {
    isOpen = false
    streamNow().destroy()
  }

  return {
    async query(statement, values = []) {
      try {
        const { rows } = await client.query<Row>({ ...statement, values: [...values] })
        return rows
      } catch (error) {
        const failure = new DatabaseFailure(error, describe(statement))
        if (failure.kind === 'lost') {
          lose()
          destroy()
        }
        throw failure
      }
    },
    together(ask) {
      const stream = streamNow()
      stream.cork()
      try {
        return ask()
      } finally {
        stream.uncork()
      }
    },
    isOpen: () => isOpen,
    onNotification: (listener) => void client.on('notification', ({ payload }) => listener(payload ?? '')),
    onLost: (listener) => void listeners.push(listener),
    destroy,
    async end() {
      if (!isOpen) return
      isOpen = false
      await client.end().catch(() => {})
    },
  }
}

export function describe(statement: Statement | Text): string {
  return 'name' in statement ? statement.name : statement.text.trim().slice(0, 60)
}

const int8 = 20
const numeric = 1700

/** Instants and totals are far below 2^53. */
function typeParserOf({ types }: Pg): NonNullable<ClientConfig['types']>['getTypeParser'] {
  const parserOf = (oid: number, format?: 'text'): unknown =>
    oid === int8 || oid === numeric ? Number : Reflect.apply(types.getTypeParser, undefined, [oid, format])
  // Of its many overloads, text is the only format that is asked for.
  return parserOf as NonNullable<ClientConfig['types']>['getTypeParser']
}

export interface Limits {
  /** For a connection to be made. */
  readonly connectMs: number
  /** For one statement, as the server counts it: it gives up first, so that the connection survives. */
  readonly statementMs: number
  /** The same as this process counts it, for a server that is frozen or out of reach. */
  readonly queryMs: number
  /** For callers to be kept waiting while it is not known whether their commit took place. */
  readonly unknownCommitMs: number
  /** Between two looks at what other processes do or have left behind. */
  readonly roundMs: number
  /** For a process to be silent before it is given up. */
  readonly leaseMs: number
  /** Between two renewals of the lease. */
  readonly renewMs: number
  /** For a suspect to wait for a process that has nothing else to run, and to be left alone there. */
  readonly aloneMs: number
  /** For a process to count as not ready after a commit that the database has failed. */
  readonly unreadyMs: number
}

export const defaultLimits: Limits = {
  connectMs: 3_000,
  statementMs: 5_000,
  queryMs: 6_000,
  unknownCommitMs: 3_000,
  roundMs: 1_000,
  leaseMs: 8_000,
  renewMs: 2_000,
  aloneMs: 10_000,
  unreadyMs: 5_000,
}

export interface Reader {
  readonly query: Query
  /** Runs the work in a transaction; commits what resolves, takes back what rejects. @throws DatabaseFailure */
  transact<Value>(work: (query: Query) => Promise<Value>): Promise<Value>
  end(): Promise<void>
}

const maxConnections = 4
const idleMs = 30_000

export function createReader(pg: Pg, database: Database): Reader {
  const pool = new pg.Pool({
    ...configFor(pg, database),
    max: maxConnections,
    idleTimeoutMillis: idleMs,
    onConnect: async (client) => void (await client.query(settingsFor('read', database))),
  })
  // Of an idle connection; without a listener it would end the process.
  pool.on('error', () => {})

  const queryOn =
    (target: Pick<PoolClient, 'query'>): Query =>
    async (statement, values = []) => {
      try {
        return (await target.query<Row>({ ...statement, values: [...values] })).rows
      } catch (error) {
        throw new DatabaseFailure(error, describe(statement))
      }
    }

  return {
    query: queryOn(pool),
    async transact(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw new DatabaseFailure(error, 'connecting to PostgreSQL')
      })
      const ignore = (): void => {}
      client.on('error', ignore)
      const query = queryOn(client)
      try {
        await query({ text: 'BEGIN' })
        const value = await work(query)
        await query({ text: 'COMMIT' })
        client.off('error', ignore)
        client.release()
        return value
      } catch (error) {
        // ROLLBACK would wait again on a frozen server; ending the connection rolls back too.
        client.release(true)
        throw error
      }
    },
    end: () => pool.end(),
  }
}
