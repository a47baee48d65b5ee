/** Ids of runs. Separate from `run.ts`, which the command loads too, because `uuid` takes milliseconds to load. */
import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const bytesPerId = 16
/** Random bytes for many ids: the system takes as long for a few bytes as for many. */
const random = new Uint8Array(bytesPerId * 256)
let unusedBytes = 0
let lastMs = 0
/** If the clock is set back by more than this, ids begin again at its time; otherwise they keep growing. */
const maxBehindMs = 86_400_000
/** Numbers the ids of one millisecond, from a random start with room for many. */
let sequence = 0

function takeRandom(): Uint8Array {
  if (unusedBytes === 0) {
    randomFillSync(random)
    unusedBytes = random.length
  }
  unusedBytes -= bytesPerId
  return random.subarray(unusedBytes, unusedBytes + bytesPerId)
}

/** A UUIDv7 (RFC 9562): ids sort by time of creation, and grow within one process. */
export function newRunId(now = Date.now()): string {
  const bytes = takeRandom()
  if (now > lastMs || now < lastMs - maxBehindMs) {
    lastMs = now
    sequence = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) >>> 1
  } else sequence += 1
  return v7({ msecs: lastMs, seq: sequence, random: bytes })
}

const maxInstant = 2 ** 48 - 1

/** The instant that an id contains (RFC 9562, 5.7), in epoch milliseconds. */
export function instantOf(runId: string): number {
  return Number.parseInt(runId.slice(0, 8) + runId.slice(9, 13), 16)
}

/** A text that sorts before all ids of this instant or later, and after all earlier ones. */
export function lowestRunId(at: number): string {
  const hex = Math.min(maxInstant, Math.max(0, at)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}

export function isRunId(text: string): boolean {
  return uuidPattern.test(text)
}
