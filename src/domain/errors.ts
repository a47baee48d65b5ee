/** The error classes of this project, and what a problem of HTTP is made of; `problems.ts` has the table of them. */
import { table, type ProblemCode } from './problems.ts'

export interface Problem {
  readonly status: number
  readonly title: string
  /** Whether the same request can succeed later without a change. */
  readonly isRetryable: boolean
  /** Seconds until another try is worth it: `Retry-After`. */
  readonly retryAfterS?: number
  /** In addition to the standard ones. */
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

/** Members that a problem can have in addition to its standard ones. */
export interface ProblemMembers {
  readonly runId?: string
  readonly jobIndex?: number | null
  readonly errors?: readonly RequestIssue[]
  readonly error?: unknown
  readonly jobs?: unknown
}

export const problems: Readonly<Record<ProblemCode, Problem>> = table

export interface AppErrorOptions {
  readonly cause?: unknown
  readonly members?: ProblemMembers
  /** Overrides the status of the table: a failed first task may carry its own 4xx. */
  readonly status?: number
}

/** The one error that is meant for callers; `code` is stable, `message` is for humans. */
export class AppError extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly members: ProblemMembers

  constructor(code: ProblemCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.status = options.status ?? problems[code].status
    this.members = options.members ?? {}
  }
}

export function taskPaused(task: string): AppError {
  return new AppError('task-paused', `the task ${task} is paused: its jobs do not start now`)
}

/** A wrong setting or a bad task module: the process cannot start, and `message` says what to mend. */
export class BootError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'BootError'
  }
}

/** The message of a thrown value, which need not be an error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
