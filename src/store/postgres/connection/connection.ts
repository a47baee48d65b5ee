/** Connections to the server, their settings and time limits, and statements. Every error is a `DatabaseFailure`. */
import type { Duplex } from 'node:stream'
import type { Client, ClientConfig, PoolClient } from 'pg'
import { BootError } from '../../../domain/errors.ts'
import { DatabaseFailure } from './errors.ts'

type Pg = typeof import('pg')

/** A row: its values by the names of the columns. */
export type Row = Readonly<Record<string, unknown>>

export interface Statement {
  /** Prepared under this name, once per connection. */
  readonly name: string
  readonly text: string
}

/** A statement without a name is planned each time it runs. */
type Unnamed = Pick<Statement, 'text'>

/** @throws DatabaseFailure */
export type Query = (statement: Statement | Unnamed, values?: readonly unknown[]) => Promise<Row[]>

export interface Connection {
  /** A connection for writing pipelines its statements: it sends them without waiting, and the server runs them in order. */
  readonly query: Query
  /** Sends the statements of the function's synchronous part in one packet. */
  readonly together: <Value>(send: () => Value) => Value
  /** Whether the connection can still be used. */
  isOpen(): boolean
  /** Calls back with each notification of the channels that this connection listens to. */
  onNotification(listener: (payload: string) => void): void
  /** Calls back once, when the connection ends without a call of `end`. */
  onLost(listener: () => void): void
  /** Ends the connection at once, without waiting for a server that may be frozen. */
  destroy(): void
  end(): Promise<void>
}

export const defaultTiming = {
  /** Time limit for connecting. */
  connectMs: 3_000,
  /** Time limit of a statement on the server. It is shorter than `queryMs`, so that the connection survives. */
  statementMs: 5_000,
  /** Time limit of a statement in this process, for a server that is frozen or unreachable. */
  queryMs: 6_000,
  /** For how long a commit of unknown outcome is repeated while its callers wait. */
  unknownCommitMs: 3_000,
  /** Between two rounds of maintenance. */
  roundMs: 1_000,
  /** After this silence a process counts as dead. */
  leaseMs: 8_000,
  /** Between two renewals of the lease. */
  renewMs: 2_000,
  /** For how long a suspect waits for an idle process, and for how long it then runs alone. */
  aloneMs: 10_000,
  /** For how long a process counts as not ready after a failed commit. */
  unreadyMs: 5_000,
}

/** Milliseconds, see `defaultTiming`. */
export type Timing = Readonly<typeof defaultTiming>

export interface Database {
  /** `postgres://…`, in the form that libpq accepts. */
  readonly url: string
  readonly schema: string
  readonly timing: Timing
}

type Purpose = 'write' | 'read' | 'listen' | 'lease' | 'migrate'

/** @throws DatabaseFailure */
export type Connect = (purpose: Purpose) => Promise<Connection>

/** A migration may rewrite a large table, or wait for another process that does. */
const migrationLimitMs = 600_000
const keepAliveMs = 10_000

/** @throws BootError when the package is missing */
export async function loadPg(): Promise<Pg> {
  try {
    return await import('pg')
  } catch (error) {
    if (Reflect.get(Object(error), 'code') !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new BootError('a database at postgres://… needs the package pg: run "npm install pg"', error)
  }
}

function configFor(pg: Pg, { url, timing }: Database): ClientConfig {
  return {
    connectionString: url,
    application_name: 'forerunner',
    connectionTimeoutMillis: timing.connectMs,
    query_timeout: timing.queryMs,
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

function settingsFor(purpose: Purpose, { schema, timing }: Database): string {
  const settings = [
    `SET search_path = "${schema}"`,
    `SET statement_timeout = ${purpose === 'migrate' ? migrationLimitMs : timing.statementMs}`,
    // Releases the locks of a process that froze in the middle of a transaction.
    `SET idle_in_transaction_session_timeout = ${timing.queryMs}`,
    // A reply means that the data is on disk, even if the role's default is `off`.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
  ]
  if (purpose === 'write' || purpose === 'read') {
    // Every statement finds its rows by key or in index order. With outdated statistics, or none, the planner would
    // choose a scan, a hash or a bitmap of a whole table.
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

  // Looked up each time: with TLS, pg replaces the stream during the handshake.
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

function describe(statement: Statement | Unnamed): string {
  return 'name' in statement ? statement.name : statement.text.trim().slice(0, 60)
}

const int8 = 20
const numeric = 1700

/** Parses 64-bit integers and sums as numbers: instants and totals are far below 2^53. */
function typeParserOf({ types }: Pg): NonNullable<ClientConfig['types']>['getTypeParser'] {
  const parserOf = (oid: number, format?: 'text'): unknown =>
    oid === int8 || oid === numeric ? Number : Reflect.apply(types.getTypeParser, undefined, [oid, format])
  // pg declares many overloads, and asks only for the text format.
  return parserOf as NonNullable<ClientConfig['types']>['getTypeParser']
}

export interface Reader {
  readonly query: Query
  /** Runs the work in a transaction, which is rolled back if the work rejects. @throws DatabaseFailure */
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
  // Without a listener, an error of an idle connection would end the process.
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
        // On a frozen server ROLLBACK would wait, too. Ending the connection rolls back.
        client.release(true)
        throw error
      }
    },
    end: () => pool.end(),
  }
}

/** The values of these members, one array for each: parameters for `unnest`. */
export function columns<Item, Member extends keyof Item>(
  rows: readonly Item[],
  ...members: Member[]
): Item[Member][][] {
  return members.map((member) => rows.map((row) => row[member]))
}
