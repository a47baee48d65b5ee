/** What a caller asks for, after its form was checked. */
import type { RespondMode } from './answer.ts'
import type { FirstFailurePolicy } from './run.ts'

export interface TaskRequest {
  readonly name: string
  /** Any JSON value, or the text of one (`RawJson`); absent is `undefined`. */
  readonly input?: unknown
  /** These three override the task's own policy or the default. */
  readonly timeoutMs?: number | undefined
  readonly maxAttempts?: number | undefined
  readonly priority?: number | undefined
  readonly delayMs?: number | undefined
}

export interface RunRequest {
  /** At least one. */
  readonly tasks: readonly TaskRequest[]
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
}
