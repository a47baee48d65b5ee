/** Failures of the database, classified by what can be done about them. Only this file knows pg's errors. */

import { messageOf, AppError } from '../../../domain/errors.ts'

/**
 * `lost`: the connection is of no more use, and it is unknown whether a commit under way took place; `unavailable`: the server
 * cannot serve now; `conflict`: the same transaction succeeds when it is run again; `refused`: it never will.
 */
export type FailureKind = 'lost' | 'unavailable' | 'conflict' | 'refused'

export class DatabaseFailure extends Error {
  override readonly name = 'DatabaseFailure'
  readonly kind: FailureKind
  /** SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or the system's code; empty without one. */
  readonly code: string

  constructor(cause: unknown, what: string) {
    const code = codeOf(cause)
    super(`${what}: ${messageOf(cause)}`, { cause })
    this.code = code
    this.kind = isFromServer(cause) ? kindOf(code) : 'lost'
  }
}

/** The server ended the session, or did not begin it. */
const lostCodes = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])
const conflictCodes = new Set(['40001', '40P01'])
// The session has lost its state: a new one has it.
const sessionCodes = new Set(['26000', '0A000'])
/**
 * The statement is refused: data that does not fit or is too large for an index, a key that exists, an exception of a
 * trigger. Every other code is the database's fault (resources, rights, a standby, changed tables), because all
 * statements are this program's own.
 */
const refusedClasses = new Set(['21', '22', '23', '44', '54', 'P0'])

function kindOf(code: string): FailureKind {
  if (code.startsWith('08') || lostCodes.has(code) || sessionCodes.has(code)) return 'lost'
  if (conflictCodes.has(code)) return 'conflict'
  return refusedClasses.has(code.slice(0, 2)) ? 'refused' : 'unavailable'
}

/** Any other error comes from the socket or from pg: a timeout, or an ended connection. Codes of both can look alike. */
function isFromServer(error: unknown): boolean {
  return Reflect.get(Object(error), 'severity') !== undefined
}

function codeOf(error: unknown): string {
  const code: unknown = Reflect.get(Object(error), 'code')
  return typeof code === 'string' ? code : ''
}

/** @param kinds none: any */
export function isFailure(error: unknown, ...kinds: FailureKind[]): error is DatabaseFailure {
  return error instanceof DatabaseFailure && (kinds.length === 0 || kinds.includes(error.kind))
}

/** Whether the database failed, and not the statement. */
export function isUnavailable(error: unknown): boolean {
  return isFailure(error, 'lost', 'unavailable', 'conflict')
}

/** The error that callers see. The database's own message names hosts, roles and statements, so it goes to the log only. */
export function appErrorOf(error: unknown, what: string): AppError {
  if (error instanceof AppError) return error
  return isUnavailable(error)
    ? new AppError('store-unavailable', `${what}: the database does not answer, or cannot write`, { cause: error })
    : new AppError('internal', `${what}: the database refuses it`, { cause: error })
}
