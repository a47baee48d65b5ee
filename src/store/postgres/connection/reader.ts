/** A few connections for work outside groups: reads, and removal of old runs. */
import type { PoolClient } from 'pg'
import { configFor, describe, settingsFor, type Database, type Pg, type Query, type Row } from './connection.ts'
import { DatabaseFailure } from './failure.ts'

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
