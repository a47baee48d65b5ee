/** What tasks have done, as the store keeps it apart from their runs: lines that they have logged, and figures of each minute. */

// The last lines of each run, several in one text.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LoggedLine {
  readonly at: number
  readonly level: LogLevel
  readonly jobIndex: number
  readonly attempt: number
  readonly message: string
  readonly fields?: unknown
  readonly error?: unknown
}

/** Lines of one run that are written together. */
export interface LineChunk {
  readonly runId: string
  /** How many. */
  readonly lines: number
  /** The lines as a JSON array, the oldest first. */
  readonly text: string
}

export interface StoredChunk {
  /** Grows with each chunk that is written. */
  readonly id: number
  readonly text: string
}

/** The latest lines of a run are kept within both bounds, and the last chunk always. */
export const maxLinesPerRun = 1_000
export const maxLineBytesPerRun = 1_048_576

/** How many chunks one commit forgets because of their age or size. */
export const chunksPerPrune = 500

/**
 * @param chunks of a run, the newest first
 * @returns the id from which on chunks are kept; null: all are
 */
export function keptFrom(
  chunks: Iterable<{ readonly id: number; readonly lines: number; readonly bytes: number }>,
): number | null {
  let lines = 0
  let bytes = 0
  let kept: number | null = null
  for (const chunk of chunks) {
    if (lines >= maxLinesPerRun || (kept !== null && bytes + chunk.bytes > maxLineBytesPerRun)) return kept
    lines += chunk.lines
    bytes += chunk.bytes
    kept = chunk.id
  }
  return null
}

// What a task did in one minute; several rows of the same minute and task are added up.

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
