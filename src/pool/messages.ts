/** What the pool and its threads say to each other. Both ends are ours and of one version. */

/** One attempt, sent to the thread that is to run it. The answer is an `Outcome`. */
export interface JobMessage {
  readonly type: 'job'
  /** Where in the control block the two sides meet. */
  readonly lane: number
  readonly task: string
  readonly url: string
  readonly input: string | null
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
}

/** Asks a new thread to show that it runs; the answer is null. */
export interface WarmMessage {
  readonly type: 'warm'
}

export type ToThread = JobMessage | WarmMessage

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** From the thread, at any time: a line that a task logged. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface ThreadData {
  readonly control: SharedArrayBuffer
}
