/**
 * Memory in which the main thread shows that its loop turns, and which first jobs it is running, to a thread that can
 * still act when it does not.
 */

const beatInt = 0
const lengthInt = 1
const headerBytes = 8
const maxNamesBytes = 1_024

export function allocateHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + maxNamesBytes)
}

export interface Heartbeat {
  /** Main: the loop has turned. */
  beat(): void
  /** Main: what runs now; what does not fit into 1 KiB is left out. */
  setRunning(names: Iterable<string>): void
  /** Other thread: grows with each beat. */
  beats(): number
  /** Other thread: what ran when the main thread last said so; empty when nothing did. */
  running(): string
}

export function createHeartbeat(buffer: SharedArrayBuffer): Heartbeat {
  const ints = new Int32Array(buffer, 0, 2)
  const bytes = new Uint8Array(buffer, headerBytes)
  const encoder = new TextEncoder()

  return {
    beat: () => void Atomics.add(ints, beatInt, 1),
    setRunning(names) {
      const { written } = encoder.encodeInto([...names].join(', '), bytes)
      Atomics.store(ints, lengthInt, written)
    },
    beats: () => Atomics.load(ints, beatInt),
    // Copied, because a decoder takes no shared memory.
    running: () => new TextDecoder().decode(bytes.slice(0, Atomics.load(ints, lengthInt))),
  }
}
