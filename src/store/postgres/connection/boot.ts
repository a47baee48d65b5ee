/** Prepares the database: waits for the server, checks the sessions, migrates the schema, and registers this process. */
import { setTimeout as sleep } from 'node:timers/promises'
import { BootError } from '../../../domain/errors.ts'
import type { Connect, Connection, Database } from './connection.ts'
import { isFailure } from './failure.ts'
import { migrate } from './migrate.ts'

const pauseMs = 250

const register = {
  text: `
    WITH own AS (INSERT INTO process (heartbeat_at, tasks, has_search) VALUES (clock_timestamp(), $1, $2) RETURNING id),
    -- Whether it writes the index or not: what it does not bring in, others do when it is gone.
    progress AS (INSERT INTO search_progress (process, since) SELECT id, $3 FROM own)
    SELECT id FROM own`,
}

export interface Registration {
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  /** Whether it writes the index for search. */
  readonly hasSearch: boolean
  /** The instant, by the clock of this process. */
  readonly at: number
  /** How long to wait for a server that does not answer, or is starting, in milliseconds. */
  readonly waitMs: number
}

/**
 * @returns the number of this process
 * @throws BootError
 */
export async function prepareDatabase(
  connect: Connect,
  database: Database,
  { tasks, hasSearch, at, waitMs }: Registration,
): Promise<number> {
  try {
    const connection = await connectWithin(connect, waitMs)
    const second = connect('migrate')
    try {
      await checkSessions(connection, await second)
      await migrate(connection, database)
      const [own] = await connection.query(register, [tasks, hasSearch, at])
      return Number(own?.['id'])
    } finally {
      await Promise.allSettled([connection.end(), second.then((other) => other.end())])
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BootError(`the database ${nameOf(database.url)} cannot be used: ${reason}`, error)
  }
}

async function connectWithin(connect: Connect, waitMs: number): Promise<Connection> {
  const deadline = performance.now() + waitMs
  for (;;) {
    try {
      return await connect('migrate')
    } catch (error) {
      if (!isFailure(error, 'lost') || performance.now() > deadline) throw error
      await sleep(pauseMs)
    }
  }
}

/** Without user and password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

const protocolViolation = '08P01'
const selectPid = { text: 'SELECT pg_backend_pid() AS pid' }
/** A pooler with several sessions rarely returns the same one this often. */
const maxLooks = 3

/**
 * @param other a second connection to the same address
 * @throws BootError where the two are not sessions of their own. @throws DatabaseFailure
 */
export async function checkSessions(one: Connection, other: Connection): Promise<void> {
  const pidOf = async ({ query }: Connection): Promise<unknown> => (await query(selectPid))[0]?.['pid']
  const own = await pidOf(one)
  for (let look = 0; look < maxLooks; look += 1) {
    // During the transaction this connection keeps its session, so that a pooler gives the other one another session.
    await other.query({ text: 'BEGIN' }).catch((error: unknown) => {
      // A pooler in statement mode.
      throw isFailure(error) && error.code === protocolViolation ? new BootError(remedy, error) : error
    })
    const isShared = (await pidOf(other)) === own || (await pidOf(one)) !== own
    await other.query({ text: 'COMMIT' })
    if (isShared) throw new BootError(remedy)
  }
}

const remedy =
  'a pooler gives each transaction another session of the server (PgBouncer: pool_mode = transaction or statement), and LISTEN, ' +
  'settings and prepared statements need one session: use the address of PostgreSQL itself, or pool_mode = session'
