/** Ids of runs. Apart from `run.ts`, which the command loads as well: `uuid` takes milliseconds to load. */
import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const bytesPerId = 16
/** For many ids at once: asking the system for a few random bytes costs as much as asking for many. */
const random = new Uint8Array(bytesPerId * 256)
let unused = 0
let lastMs = 0
/** Ids go on growing when the clock is set back; a clock that was wrong by more than this is not waited for. */
const maxBehindMs = 86_400_000
/** Counts the ids of one millisecond, from a random beginning with much room above it. */
let sequence = 0

function takeRandom(): Uint8Array {
  if (unused === 0) {
    randomFillSync(random)
    unused = random.length
  }
  unused -= bytesPerId
  return random.subarray(unused, unused + bytesPerId)
}

/** A new run id: UUIDv7 (RFC 9562), so ids sort by time of creation and grow within one process. */
export function newRunId(now = Date.now()): string {
  const bytes = takeRandom()
  if (lastMs - now > maxBehindMs) lastMs = now - 1
  sequence = now > lastMs ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) >>> 1 : sequence + 1
  lastMs = Math.max(lastMs, now)
  return v7({ msecs: lastMs, seq: sequence, random: bytes })
}

const maxInstant = 2 ** 48 - 1

/** The instant that an id of `newRunId` holds (RFC 9562, 5.7), in epoch milliseconds. */
export function instantOf(runId: string): number {
  return Number.parseInt(runId.slice(0, 8) + runId.slice(9, 13), 16)
}

/** A text that sorts before the ids that are made at or after the instant, and after those that were made earlier. */
export function lowestRunId(at: number): string {
  const hex = Math.min(maxInstant, Math.max(0, at)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}

/** Whether `text` has the form of a run id; one that has not can name no run. */
export function isRunId(text: string): boolean {
  return uuidPattern.test(text)
}
