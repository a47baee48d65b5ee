/**
 * Messages between the service and a child process: four bytes of length, one that says for whom it is, and the value as
 * V8 serializes it, which costs a text no more than a copy.
 */
import { serialize } from 'node:v8'

/** `relay`: for the thread of the child that always listens; `tasks`: for its main thread, which runs tasks. */
export const receivers = { relay: 0, tasks: 1 } as const

export const headBytes = 5
/** A result has 1 MiB of UTF-8 at most; what claims to be longer than any message is none. */
const maxBytes = 1_073_741_824

export function encodeFrame(receiver: number, value: unknown): Buffer {
  const body = serialize(value)
  const frame = Buffer.allocUnsafe(headBytes + body.length)
  frame.writeUInt32LE(body.length, 0)
  frame[headBytes - 1] = receiver
  body.copy(frame, headBytes)
  return frame
}

/** @returns takes bytes as they come; throws at what is no frame */
export function createFrameReader(onFrame: (receiver: number, body: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let length = 0
  /** Bytes that must arrive before the next frame is complete. */
  let needed = headBytes

  return (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    if (length < needed) return
    let rest = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    needed = headBytes
    while (rest.length >= headBytes) {
      const bytes = rest.readUInt32LE(0)
      if (bytes > maxBytes) throw new Error(`a message of ${bytes} bytes`)
      needed = headBytes + bytes
      if (rest.length < needed) break
      onFrame(rest[headBytes - 1] ?? -1, rest.subarray(headBytes, needed))
      rest = rest.subarray(needed)
      needed = headBytes
    }
    chunks = [rest]
    length = rest.length
  }
}
