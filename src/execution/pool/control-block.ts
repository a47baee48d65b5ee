/**
 * Memory that the main thread and the pool's threads share: per slot (room for one job) a command to the thread, the
 * phase that the job is in and since when, its progress, and how it has ended its thread. Reading or writing
 * it costs no message.
 */
import { maxProgressBytes, type Progress } from '../../domain/claim.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { isNaN, uncurryThis } from '../../runtime/primordials.ts'

/** `stop`: the main thread asks the job to stop; `done`: the thread no longer needs to listen. */
const commands = { none: 0, stop: 1, done: 2 } as const
/**
 * `sent`: on its way to the thread; `loading`: the thread imports the task's module; `running`: the task runs;
 * `recalled`: taken back before the thread began it; `over`: the thread has its outcome.
 */
export const phases = { sent: 0, loading: 1, running: 2, recalled: 3, over: 4 } as const

const bytesPerSlot = 168
const intsPerSlot = bytesPerSlot / Int32Array.BYTES_PER_ELEMENT
const floatsPerSlot = bytesPerSlot / Float64Array.BYTES_PER_ELEMENT
// Places within a slot: the first 16 bytes as integers, the rest as floats.
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

/** What ended the thread: nothing yet, the job on this slot, or code that an ended job of this slot left running. */
const exits = { none: 0, job: 1, leftover: 2 } as const

// The thread's side runs between tasks, which can replace what it would look up.
const { add, compareExchange, load, notify, store, waitAsync } = Atomics
const { NaN: notANumber } = Number
const Bytes = Uint8Array
const encodeInto = uncurryThis(TextEncoder.prototype.encodeInto)

export function allocateControlBlock(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(slots * bytesPerSlot)
}

/** Its members are for one side each: the main thread or the slot's thread. */
export type ControlBlock = ReturnType<typeof createControlBlock>

export function createControlBlock(buffer: SharedArrayBuffer) {
  const ints = new Int32Array(buffer)
  const floats = new Float64Array(buffer)
  const text = new Uint8Array(buffer)
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  // Per slot, so that a message that is reported again and again is written once.
  const lastMessage: string[] = []
  const messages: Uint8Array[] = []
  const int = (slot: number, place: number) => slot * intsPerSlot + place
  const float = (slot: number, place: number) => slot * floatsPerSlot + place
  const readFloat = (slot: number, place: number): number => floats[float(slot, place)] ?? notANumber

  function writeMessage(slot: number, message: string): void {
    lastMessage[slot] = message
    const start = slot * bytesPerSlot + messageByte
    add(ints, int(slot, messageWrites), 1)
    messages[slot] ??= new Bytes(buffer, start, maxProgressBytes)
    const { written } = encodeInto(encoder, message, messages[slot])
    store(ints, int(slot, messageLength), written)
    add(ints, int(slot, messageWrites), 1)
  }

  /** Empty in the rare case that the thread writes another one at this moment. */
  function readMessage(slot: number): string {
    const writes = load(ints, int(slot, messageWrites))
    const start = slot * bytesPerSlot + messageByte
    // Copied, because a decoder takes no shared memory.
    const message = decoder.decode(text.slice(start, start + load(ints, int(slot, messageLength))))
    return writes % 2 === 0 && writes === load(ints, int(slot, messageWrites)) ? message : ''
  }

  function issue(slot: number, value: number): void {
    store(ints, int(slot, command), value)
    notify(ints, int(slot, command))
  }

  function reset(slot: number): void {
    floats[float(slot, progress)] = notANumber
    // Not known before the job begins: no comparison with NaN is true.
    floats[float(slot, startBytes)] = notANumber
    store(ints, int(slot, messageLength), 0)
    store(ints, int(slot, phase), phases.sent)
    store(ints, int(slot, command), commands.none)
  }

  return {
    /** Main: makes a slot ready for its next job. */
    reset,
    /** Main: a new thread has the slot; what its last one ended by is known by now. */
    renew(slot: number) {
      reset(slot)
      // Not for each job: the thread may be ending while the next one is sent.
      store(ints, int(slot, exit), exits.none)
    },
    /** Main: takes the job back unless the thread has begun it; whether it could. */
    recall: (slot: number) => compareExchange(ints, int(slot, phase), phases.sent, phases.recalled) === phases.sent,
    /** Main: asks the job to stop. */
    stop: (slot: number) => issue(slot, commands.stop),
    // The phase is written after its time, so a reader that sees the phase sees the time.
    /** Main: where the job is, and since when it loads or runs (of `monotonicMs`). */
    phase: (slot: number) => ({ phase: load(ints, int(slot, phase)), sinceMs: readFloat(slot, since) }),
    /** Main: whether the thread has begun the job and has no outcome of it yet. */
    isBegun(slot: number): boolean {
      const now = load(ints, int(slot, phase))
      return now === phases.loading || now === phases.running
    },
    /** Main: the progress that the task has reported, or null before it has reported any. */
    progress(slot: number): Progress | null {
      const fraction = readFloat(slot, progress)
      return isNaN(fraction) ? null : { fraction, message: readMessage(slot) }
    },
    /** Main: whether the thread was ended by code of this slot's job, or of an earlier one. */
    hasExited: (slot: number) => load(ints, int(slot, exit)) !== exits.none,
    /** Main: the code with which this slot's job ended its thread, or null when it did not. */
    exitCode: (slot: number) => (load(ints, int(slot, exit)) === exits.job ? load(ints, int(slot, exitCode)) : null),
    /** Main: bytes that the thread held when the job began. */
    startBytes: (slot: number) => readFloat(slot, startBytes),
    /** Thread: takes the job up now; false when it was taken back before. */
    take(slot: number) {
      lastMessage[slot] = ''
      floats[float(slot, since)] = monotonicMs()
      return compareExchange(ints, int(slot, phase), phases.sent, phases.loading) === phases.sent
    },
    /** Thread: the task runs from now on. */
    run(slot: number) {
      floats[float(slot, since)] = monotonicMs()
      store(ints, int(slot, phase), phases.running)
    },
    /** Thread: the job has its outcome. */
    end: (slot: number) => void store(ints, int(slot, phase), phases.over),
    /** Thread: ends the wait for `stop`. */
    finish: (slot: number) => issue(slot, commands.done),
    /** Thread: whether the job was asked to stop. */
    isStopped: (slot: number) => load(ints, int(slot, command)) === commands.stop,
    /** Thread: resolves when the job was asked to stop, or when it has finished. */
    async stopped(slot: number): Promise<void> {
      const waited = waitAsync(ints, int(slot, command), commands.none)
      if (waited.async) await waited.value
    },
    /** Thread: reports how far the job is, from 0 to 1 or NaN; a message above 120 bytes of UTF-8 is cut. */
    setProgress(slot: number, fraction: number, message: string) {
      if (message !== lastMessage[slot]) writeMessage(slot, message)
      floats[float(slot, progress)] = fraction
    },
    /** Thread: the job is about to end the thread with this code; null: code that an ended job has left running is. */
    setExit(slot: number, code: number | null) {
      store(ints, int(slot, exitCode), code ?? 0)
      store(ints, int(slot, exit), code === null ? exits.leftover : exits.job)
    },
    setStartBytes(slot: number, bytes: number) {
      floats[float(slot, startBytes)] = bytes
    },
  }
}
