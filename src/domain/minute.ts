/** What a task did in one minute, as the store keeps it. Several rows of the same minute and task are added up. */

export interface MinuteRow {
  /** The beginning of the minute. */
  readonly at: number
  /** Empty: not a task; the process began in this minute. */
  readonly task: string
  /** JSON text. */
  readonly figures: string
}

export interface StoredMinute {
  readonly id: number
  readonly at: number
  readonly figures: string
}

/** Which rows: of a task, from `from` on and before `to`, after the row given. */
export interface MinuteRange {
  readonly task: string
  readonly from: number
  readonly to: number
  readonly after: { readonly at: number; readonly id: number } | null
}

export const minuteMs = 60_000
export const minutesPerRead = 1_000
/** Rows that one commit forgets. */
export const minutesPerPrune = 1_000
