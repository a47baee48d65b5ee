/**
 * Memory that the main thread and the pool's threads share: per lane (room for one job) a command to the thread, the
 * phase that the job is in and since when, its progress, and what is to be known when its thread dies. Reading or
 * writing it costs no message.
 */
import type { Progress } from '../domain/job.ts'
import { monotonicMs } from '../domain/monotonic.ts'
import { isNaN, uncurryThis } from '../domain/primordials.ts'

/** `stop` is the main thread's wish, `done` the thread's own word that nobody need listen any more. */
const commands = { none: 0, stop: 1, done: 2 } as const
/**
 * `sent`: on its way to the thread; `loading`: the thread imports the task's module; `running`: the task runs;
 * `recalled`: taken back before the thread began it; `over`: the thread has its outcome.
 */
export const phases = { sent: 0, loading: 1, running: 2, recalled: 3, over: 4 } as const

const bytesPerLane = 168
const intsPerLane = bytesPerLane / Int32Array.BYTES_PER_ELEMENT
const floatsPerLane = bytesPerLane / Float64Array.BYTES_PER_ELEMENT
// Places within a lane: the first 16 bytes as integers, the rest as floats.
const command = 0
const phase = 1
const exit = 2
const exitCode = 3
const since = 2
const progress = 3
const startBytes = 4
// Then the length of the progress message as an integer, a counter that is odd while it is written, and its text.
const messageLength = 10
const messageWrites = 11
const messageByte = 48
export const maxMessageBytes = 120

/** Who ended the thread: nobody yet, the job on this lane, or something that an ended job of this lane left behind. */
const exits = { none: 0, job: 1, leftover: 2 } as const

// Its thread's side runs beside tasks, which can replace what it would look up.
const { add, compareExchange, load, notify, store, waitAsync } = Atomics
const { NaN: notANumber } = Number
const Bytes = Uint8Array
const encodeInto = uncurryThis(TextEncoder.prototype.encodeInto)

export function allocateControlBlock(lanes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lanes * bytesPerLane)
}

export interface ControlBlock {
  /** Main: makes a lane ready for its next job. */
  reset(lane: number): void
  /** Main: a new thread has the lane; what its last one ended by is told by now. */
  renew(lane: number): void
  /** Main: takes the job back unless the thread has begun it; whether it could. */
  recall(lane: number): boolean
  /** Main: asks the job to stop. */
  stop(lane: number): void
  /** Main: where the job is, and since when it loads or runs (of `monotonicMs`). */
  phase(lane: number): { readonly phase: number; readonly sinceMs: number }
  /** Main: whether the thread has begun the job and has no outcome of it yet. */
  isBegun(lane: number): boolean
  /** Main: what the task has told of itself, or null while it has told nothing. */
  progress(lane: number): Progress | null
  /** Main: whether the thread was ended by code of this lane's job, or of an earlier one. */
  hasExited(lane: number): boolean
  /** Main: the code with which this lane's job ended its thread, or null when it did not. */
  exitCode(lane: number): number | null
  /** Main: bytes that the thread held when the job began. */
  startBytes(lane: number): number
  /** Thread: takes the job up now; false when it was taken back before. */
  take(lane: number): boolean
  /** Thread: the task runs from now on. */
  run(lane: number): void
  /** Thread: the job has its outcome. */
  end(lane: number): void
  /** Thread: ends whatever waits for `stop`. */
  finish(lane: number): void
  /** Thread: whether the job was asked to stop. */
  isStopped(lane: number): boolean
  /** Thread: resolves when the job was asked to stop, or when it has finished. */
  stopped(lane: number): Promise<void>
  /** Thread: tells how far the job is, from 0 to 1 or NaN; a message above 120 bytes of UTF-8 is cut. */
  setProgress(lane: number, fraction: number, message: string): void
  /** Thread: the job is about to end the thread; null: what is left of one that has ended is. */
  setExit(lane: number, code: number | null): void
  setStartBytes(lane: number, bytes: number): void
}

export function createControlBlock(buffer: SharedArrayBuffer): ControlBlock {
  const ints = new Int32Array(buffer)
  const floats = new Float64Array(buffer)
  const text = new Uint8Array(buffer)
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  // Per lane, so that a message that is told again and again is written once.
  const lastMessage: string[] = []
  const messages: Uint8Array[] = []
  const int = (lane: number, place: number) => lane * intsPerLane + place
  const float = (lane: number, place: number) => lane * floatsPerLane + place
  const readFloat = (lane: number, place: number): number => floats[float(lane, place)] ?? notANumber

  function writeMessage(lane: number, message: string): void {
    lastMessage[lane] = message
    const start = lane * bytesPerLane + messageByte
    add(ints, int(lane, messageWrites), 1)
    messages[lane] ??= new Bytes(buffer, start, maxMessageBytes)
    const { written } = encodeInto(encoder, message, messages[lane])
    store(ints, int(lane, messageLength), written)
    add(ints, int(lane, messageWrites), 1)
  }

  /** Empty in the rare case that the thread writes another one at this moment. */
  function readMessage(lane: number): string {
    const writes = load(ints, int(lane, messageWrites))
    const start = lane * bytesPerLane + messageByte
    // Copied, because a decoder takes no shared memory.
    const message = decoder.decode(text.slice(start, start + load(ints, int(lane, messageLength))))
    return writes % 2 === 0 && writes === load(ints, int(lane, messageWrites)) ? message : ''
  }

  function tell(lane: number, value: number): void {
    store(ints, int(lane, command), value)
    notify(ints, int(lane, command))
  }

  function reset(lane: number): void {
    floats[float(lane, progress)] = notANumber
    // Not known before the job begins: until then nothing it is held against can be exceeded.
    floats[float(lane, startBytes)] = notANumber
    store(ints, int(lane, messageLength), 0)
    store(ints, int(lane, phase), phases.sent)
    store(ints, int(lane, command), commands.none)
  }

  return {
    reset,
    renew(lane) {
      reset(lane)
      // Not for each job: the thread may be ending while the next one is sent.
      store(ints, int(lane, exit), exits.none)
    },
    recall: (lane) => compareExchange(ints, int(lane, phase), phases.sent, phases.recalled) === phases.sent,
    stop: (lane) => tell(lane, commands.stop),
    // The phase is written after its time, so whoever sees the phase sees the time.
    phase: (lane) => ({ phase: load(ints, int(lane, phase)), sinceMs: readFloat(lane, since) }),
    isBegun(lane) {
      const now = load(ints, int(lane, phase))
      return now === phases.loading || now === phases.running
    },
    progress(lane) {
      const fraction = readFloat(lane, progress)
      return isNaN(fraction) ? null : { fraction, message: readMessage(lane) }
    },
    hasExited: (lane) => load(ints, int(lane, exit)) !== exits.none,
    exitCode: (lane) => (load(ints, int(lane, exit)) === exits.job ? load(ints, int(lane, exitCode)) : null),
    startBytes: (lane) => readFloat(lane, startBytes),
    take(lane) {
      lastMessage[lane] = ''
      floats[float(lane, since)] = monotonicMs()
      return compareExchange(ints, int(lane, phase), phases.sent, phases.loading) === phases.sent
    },
    run(lane) {
      floats[float(lane, since)] = monotonicMs()
      store(ints, int(lane, phase), phases.running)
    },
    end: (lane) => void store(ints, int(lane, phase), phases.over),
    finish: (lane) => tell(lane, commands.done),
    isStopped: (lane) => load(ints, int(lane, command)) === commands.stop,
    async stopped(lane) {
      const waited = waitAsync(ints, int(lane, command), commands.none)
      if (waited.async) await waited.value
    },
    setProgress(lane, fraction, message) {
      if (message !== lastMessage[lane]) writeMessage(lane, message)
      floats[float(lane, progress)] = fraction
    },
    setExit(lane, code) {
      store(ints, int(lane, exitCode), code ?? 0)
      store(ints, int(lane, exit), code === null ? exits.leftover : exits.job)
    },
    setStartBytes(lane, bytes) {
      floats[float(lane, startBytes)] = bytes
    },
  }
}
