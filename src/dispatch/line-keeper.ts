/**
 * Has the store keep the lines that tasks log, in batches: lines wait here for up to a second. A job that logs nothing costs
 * nothing. Lines that come faster than the store can keep them are only logged.
 */
import { type LoggedLine, maxLineBytesPerRun, maxLinesPerRun } from '../domain/task-history.ts'
import { isRunId } from '../domain/ids.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LogMessage } from '../execution/pool/pool-messages.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface LineKeeper {
  note(line: Pick<LogMessage, 'level' | 'message' | 'fields'>): void
  /** Writes the lines that wait. Resolves when no line noted so far waits; those that the store could not keep are lost. */
  flush(): Promise<void>
}

interface LineKeeperOptions {
  readonly store: Pick<Store, 'keepLines'>
  readonly clock: Clock
  readonly log: Log
  /** 0: no line is kept. */
  readonly logRetentionMs: number
}

const delayMs = 1_000
/** Bounds the waiting lines of all runs together. */
const maxWaitingBytes = 8 * 1_048_576
/** Bounds one call of the store, because other verbs of its group wait for it. */
const maxBatchBytes = 262_144

interface Waiting {
  texts: string[]
  /** In UTF-8, as the store counts them. */
  bytes: number
}

export function createLineKeeper({ store, clock, log, logRetentionMs }: LineKeeperOptions): LineKeeper {
  let waiting = new Map<string, Waiting>()
  let waitingBytes = 0
  let dropped = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  function add(runId: string, text: string, bytes: number): void {
    const ofRun = waiting.get(runId) ?? { texts: [], bytes: 0 }
    waiting.set(runId, ofRun)
    ofRun.texts.push(text)
    ofRun.bytes += bytes
    waitingBytes += bytes
    while (ofRun.texts.length > maxLinesPerRun || ofRun.bytes > maxLineBytesPerRun) {
      const bytesOfOldest = Buffer.byteLength(ofRun.texts.shift() ?? '')
      ofRun.bytes -= bytesOfOldest
      waitingBytes -= bytesOfOldest
      dropped += 1
    }
    timer ??= setTimeout(() => void flush(), delayMs)
  }

  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    if (waiting.size === 0) return writing
    const taken = waiting
    waiting = new Map()
    waitingBytes = 0
    // One write after the other keeps the lines of a run in order.
    writing = writing.then(() => write(taken))
    return writing
  }

  async function write(taken: ReadonlyMap<string, Waiting>): Promise<void> {
    for (const batch of batchesOf(taken)) {
      try {
        await store.keepLines(batch, clock.now())
      } catch (error) {
        for (const { lines } of batch) dropped += lines
        log.debug({ err: error }, 'lines of tasks could not be kept')
      }
    }
    if (dropped === 0) return
    log.warn({ lines: dropped }, 'lines of tasks were logged and not kept')
    dropped = 0
  }

  return {
    note({ level, message, fields }) {
      if (logRetentionMs === 0 || (level === 'debug' && !log.isLevelEnabled('debug'))) return
      const { runId, jobIndex, attempt, fields: given, error }: Record<string, unknown> = { ...fields }
      // A line that a thread itself logged belongs to no run.
      if (typeof runId !== 'string' || !isRunId(runId)) return
      if (!Number.isInteger(jobIndex) || !Number.isInteger(attempt) || typeof message !== 'string') return
      const ids = { jobIndex: Number(jobIndex), attempt: Number(attempt) }
      const text = textOf({ at: clock.now(), level, ...ids, message, fields: given, error })
      const bytes = text === null ? Number.POSITIVE_INFINITY : Buffer.byteLength(text)
      if (text === null || bytes > maxLineBytesPerRun || waitingBytes + bytes > maxWaitingBytes) dropped += 1
      else add(runId, text, bytes)
    },
    flush,
  }

  /** null: the line cannot be JSON, because a task can send any value as a line. */
  function textOf(line: LoggedLine): string | null {
    try {
      return JSON.stringify(line, log.isLevelEnabled('debug') ? undefined : withoutStack)
    } catch {
      return null
    }
  }
}

/** Stacks are kept only where they are shown: at log level debug. */
function withoutStack(key: string, value: unknown): unknown {
  return key === 'stack' && typeof value === 'string' ? undefined : value
}

function* batchesOf(taken: ReadonlyMap<string, Waiting>) {
  let batch = []
  let bytes = 0
  for (const [runId, ofRun] of taken) {
    batch.push({ runId, lines: ofRun.texts.length, text: `[${ofRun.texts.join(',')}]` })
    bytes += ofRun.bytes
    if (bytes < maxBatchBytes) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}
