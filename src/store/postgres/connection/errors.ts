/** Failures of the database, classified by what can be done about them. Only this file knows pg's errors. */

import { messageOf, AppError } from '../../../domain/errors.ts'

/**
 * `lost`: the connection cannot be used any more, and a commit under way may or may not have taken place;
 * `unavailable`: the server cannot serve now; `conflict`: the same transaction may succeed when it is repeated;
 * `refused`: it never will.
 */
type FailureKind = 'lost' | 'unavailable' | 'conflict' | 'refused'

export class DatabaseFailure extends Error {
  override readonly name = 'DatabaseFailure'
  readonly kind: FailureKind
  /** SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or the system's code; may be empty. */
  readonly code: string

  constructor(cause: unknown, what: string) {
    const code = codeOf(cause)
    super(`${what}: ${messageOf(cause)}`, { cause })
    this.code = code
    this.kind = isFromServer(cause) ? kindOf(code) : 'lost'
  }
}

/** The server ended the session, or refused to start it. */
const lostCodes = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])
const conflictCodes = new Set(['40001', '40P01'])
// A prepared statement of the session is missing or outdated. A new session prepares it again.
const sessionCodes = new Set(['26000', '0A000'])
/**
 * The data is at fault: it does not fit, is too large for an index, repeats a key, or a trigger raised an exception. Every
 * other code is the database's fault (resources, rights, a standby, changed tables), because this program wrote all the
 * statements.
 */
const refusedClasses = new Set(['21', '22', '23', '44', '54', 'P0'])

function kindOf(code: string): FailureKind {
  if (code.startsWith('08') || lostCodes.has(code) || sessionCodes.has(code)) return 'lost'
  if (conflictCodes.has(code)) return 'conflict'
  return refusedClasses.has(code.slice(0, 2)) ? 'refused' : 'unavailable'
}

/** Other errors come from the socket or from pg, such as a timeout or an ended connection. Their codes can look alike. */
function isFromServer(error: unknown): boolean {
  return Reflect.get(Object(error), 'severity') !== undefined
}

function codeOf(error: unknown): string {
  const code: unknown = Reflect.get(Object(error), 'code')
  return typeof code === 'string' ? code : ''
}

/** @param kinds without one, a failure of any kind */
export function isFailure(error: unknown, ...kinds: FailureKind[]): error is DatabaseFailure {
  return error instanceof DatabaseFailure && (kinds.length === 0 || kinds.includes(error.kind))
}

/** Whether the database is at fault, and not the data. */
export function isUnavailable(error: unknown): boolean {
  return isFailure(error, 'lost', 'unavailable', 'conflict')
}

/** The error for callers. The database's own message goes only to the log: it names hosts, roles and statements. */
export function appErrorOf(error: unknown, what: string): AppError {
  if (error instanceof AppError) return error
  return isUnavailable(error)
    ? new AppError('store-unavailable', `${what}: the database does not answer, or cannot write`, { cause: error })
    : new AppError('internal', `${what}: the database refuses it`, { cause: error })
}
