/**
 * Whether sessions are this process's own. A pooler in transaction mode lends each transaction another session of the
 * server, and everything that belongs to a session is lost: settings, prepared statements, and what is listened to.
 */
import { BootError } from '../../../domain/errors.ts'
import type { Connection } from './connection.ts'
import { isFailure } from './failure.ts'

const protocolViolation = '08P01'
const selectPid = { text: 'SELECT pg_backend_pid() AS pid' }
/** A pooler may have several sessions to choose from; it rarely gives back the same one so often. */
const maxLooks = 3

/**
 * @param other a second connection to the same address
 * @throws BootError where the two are not sessions of their own. @throws DatabaseFailure
 */
export async function checkSessions(one: Connection, other: Connection): Promise<void> {
  const pidOf = async ({ query }: Connection): Promise<unknown> => (await query(selectPid))[0]?.['pid']
  const own = await pidOf(one)
  for (let look = 0; look < maxLooks; look += 1) {
    // Within its transaction it keeps the session that it was given, which is no other connection's then.
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
