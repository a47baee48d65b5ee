/** One thing that the doctor has looked at. */

export interface Check {
  readonly name: string
  /** `fail` makes the exit code 1. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly detail: string
}
