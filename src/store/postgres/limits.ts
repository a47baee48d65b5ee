/** How long things may take, in milliseconds. */
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
