/** What the store keeps of tasks outside the records of runs: the lines that they logged, and their figures of each minute. */

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
  /** Number of lines. */
  readonly lines: number
  /** The lines as a JSON array, oldest first. */
  readonly text: string
}

export interface StoredChunk {
  /** Grows with each chunk that is written. */
  readonly id: number
  readonly text: string
}

/** Bounds of the lines that are kept of a run, in whole chunks: the latest one is kept whatever its size. */
export const maxLinesPerRun = 1_000
export const maxLineBytesPerRun = 1_048_576

/** How many old chunks one commit removes. */
export const chunksPerPrune = 500

/**
 * @param chunks of a run, newest first
 * @returns the id of the oldest chunk to keep; null: keep all
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

/** What a task did in one minute. Rows of the same minute and task are summed. */
export interface MinuteRow {
  /** Start of the minute. */
  readonly at: number
  /** Empty: the row says that a process started in this minute. */
  readonly task: string
  /** JSON text. */
  readonly figures: string
}

export interface StoredMinute {
  readonly id: number
  readonly at: number
  readonly figures: string
}

/** Rows of one task. */
export interface MinuteRange {
  readonly task: string
  /** Inclusive. */
  readonly from: number
  /** Exclusive. */
  readonly to: number
  /** The last row of the previous page; null: from the first. */
  readonly after: { readonly at: number; readonly id: number } | null
}

export const minuteMs = 60_000
export const minutesPerRead = 1_000
/** How many old rows one commit removes. */
export const minutesPerPrune = 1_000
