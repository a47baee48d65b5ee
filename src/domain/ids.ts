import { v7 } from 'uuid'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A new run id: UUIDv7 (RFC 9562), so ids sort by time of creation and grow within one process. */
export function newRunId(): string {
  return v7()
}

/** Whether `text` has the form of a run id; one that has not can name no run. */
export function isRunId(text: string): boolean {
  return uuidPattern.test(text)
}
