/** What a problem of HTTP is made of; `problems.ts` has the table of them. */

export interface Problem {
  readonly status: number
  readonly title: string
  /** Whether the same request can succeed later without a change. */
  readonly isRetryable: boolean
  /** Seconds until another try is worth it: `Retry-After`. */
  readonly retryAfterS?: number
  /** Beside the standard ones. */
  readonly members?: readonly (keyof ProblemMembers)[]
  /** Members that it has where there is such a thing. */
  readonly mayHave?: readonly (keyof ProblemMembers)[]
  readonly meaning: string
  readonly remedy: string
}

/** One place in a request that is wrong. */
export interface RequestIssue {
  /** RFC 6901 JSON Pointer into the request body; empty for the body itself. */
  readonly pointer: string
  readonly detail: string
}

/** Members that a problem can carry beside its standard ones. */
export interface ProblemMembers {
  readonly runId?: string
  readonly jobIndex?: number | null
  readonly errors?: readonly RequestIssue[]
  readonly error?: unknown
  readonly jobs?: unknown
}
