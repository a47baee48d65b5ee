/** The errors that this project throws: `AppError` for callers, `BootError` for operators. */
import { problems, type ProblemCode, type ProblemMembers } from './problems.ts'

interface AppErrorOptions {
  readonly cause?: unknown
  readonly members?: ProblemMembers
  /** Replaces the status of the table: a failed first task can set its own 4xx. */
  readonly status?: number
}

/** An error for callers; `code` is stable, `message` is for humans. */
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

/** An invalid setting or task module: the process cannot start, and `message` says what to mend. */
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
