/** What goes wrong between this process and its database, by what can be done about it. Nothing else knows pg's errors. */

/**
 * `lost`: the connection is of no more use, and a commit that was under way is in doubt; `unavailable`: the server
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
    super(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.code = code
    this.kind = kindOf(code)
  }
}

/** The server ends the session, or never began it. */
const lostCodes = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])
const conflictCodes = new Set(['40001', '40P01'])
// A cancelled statement, a lock that was not to be had, a standby that takes no writes.
const unavailableCodes = new Set(['57014', '55P03', '25006', '40003'])
/** Connection, resources, operator, system: of the server's own, and not of the statement. */
const unavailableClasses = new Set(['53', '58', 'XX'])

function kindOf(code: string): FailureKind {
  // Without SQLSTATE it is the socket's, or pg's own: a timeout, or a connection that has ended.
  if (!/^[0-9A-Z]{5}$/.test(code) || code.startsWith('08') || lostCodes.has(code)) return 'lost'
  if (conflictCodes.has(code)) return 'conflict'
  if (unavailableCodes.has(code) || unavailableClasses.has(code.slice(0, 2))) return 'unavailable'
  return 'refused'
}

function codeOf(error: unknown): string {
  const code: unknown = Reflect.get(Object(error), 'code')
  return typeof code === 'string' ? code : ''
}

export function isFailure(error: unknown, ...kinds: FailureKind[]): error is DatabaseFailure {
  return error instanceof DatabaseFailure && kinds.includes(error.kind)
}

/** Whether the database, and not what was asked of it, is to blame. */
export function isUnavailable(error: unknown): boolean {
  return isFailure(error, 'lost', 'unavailable', 'conflict')
}
