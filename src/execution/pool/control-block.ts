/**
 * Memory that the main thread and the pool's threads share, so that neither needs messages for it. Each slot (room for one
 * job) holds a command to the thread, the phase of the job and its time, the progress, and how the job ended its thread.
 */
import { maxProgressBytes, type Progress } from '../../domain/claim.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { isNaN, uncurryThis } from '../../runtime/primordials.ts'

/** `stop`: the main thread asks the job to stop; `done`: the thread no longer waits for `stop`. */
const commands = { none: 0, stop: 1, done: 2 } as const
/**
 * `sent`: on its way to the thread; `loading`: the thread imports the task's module; `running`: the task runs;
 * `recalled`: taken back before the thread began it; `over`: the thread has its outcome.
 */
export const phases = { sent: 0, loading: 1, running: 2, recalled: 3, over: 4 } as const

/** Caller of `process.exit()`. `job`: the slot's current job; `endedJob`: code that an earlier job of the slot left running. */
const exits = { none: 0, job: 1, endedJob: 2 } as const

// Where the fields of a slot begin, in bytes. Integers of four bytes, then floats of eight:
const command = 0
const phase = 4
const exit = 8
const since = 16
const progress = 24
const startBytes = 32
// The message of the progress: its length in bytes, a counter that is odd while it is written, and its text in UTF-8.
const messageLength = 40
const messageWrites = 44
const messageText = 48
const bytesPerSlot = messageText + maxProgressBytes

// The thread's side runs between tasks, which can replace the functions that it would look up.
const { add, compareExchange, load, notify, store, waitAsync } = Atomics
const { NaN: notANumber } = Number
const { BYTES_PER_ELEMENT: bytesPerInt } = Int32Array
const { BYTES_PER_ELEMENT: bytesPerFloat } = Float64Array
const Bytes = Uint8Array
const encodeInto = uncurryThis(TextEncoder.prototype.encodeInto)

export function allocateControlBlock(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(slots * bytesPerSlot)
}

/** Each method is for one side: the main thread, or the thread that the slot belongs to. */
export type ControlBlock = ReturnType<typeof createControlBlock>

export function createControlBlock(buffer: SharedArrayBuffer) {
  const ints = new Int32Array(buffer)
  const floats = new Float64Array(buffer)
  const bytes = new Uint8Array(buffer)
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  // By slot. A message that a job reports again and again is written once.
  const lastMessage: string[] = []
  const messageBytes: Uint8Array[] = []
  const int = (slot: number, field: number) => (slot * bytesPerSlot + field) / bytesPerInt
  const float = (slot: number, field: number) => (slot * bytesPerSlot + field) / bytesPerFloat
  const readFloat = (slot: number, field: number): number => floats[float(slot, field)] ?? notANumber

  function writeMessage(slot: number, message: string): void {
    lastMessage[slot] = message
    const start = slot * bytesPerSlot + messageText
    add(ints, int(slot, messageWrites), 1)
    messageBytes[slot] ??= new Bytes(buffer, start, maxProgressBytes)
    const { written } = encodeInto(encoder, message, messageBytes[slot])
    store(ints, int(slot, messageLength), written)
    add(ints, int(slot, messageWrites), 1)
  }

  /** Empty in the rare case that the thread writes another message at this moment. */
  function readMessage(slot: number): string {
    const writes = load(ints, int(slot, messageWrites))
    const start = slot * bytesPerSlot + messageText
    // Copied, because a decoder does not read shared memory.
    const message = decoder.decode(bytes.slice(start, start + load(ints, int(slot, messageLength))))
    return writes % 2 === 0 && writes === load(ints, int(slot, messageWrites)) ? message : ''
  }

  function issue(slot: number, value: number): void {
    store(ints, int(slot, command), value)
    notify(ints, int(slot, command))
  }

  function reset(slot: number): void {
    floats[float(slot, progress)] = notANumber
    // Unknown until the job runs. A comparison with NaN is false, so no limit is exceeded before.
    floats[float(slot, startBytes)] = notANumber
    store(ints, int(slot, messageLength), 0)
    store(ints, int(slot, phase), phases.sent)
    store(ints, int(slot, command), commands.none)
  }

  return {
    /** Main: prepares a slot for its next job. */
    reset,
    /** Main: prepares a slot for a new thread, after the exit of the last one was read. */
    resetForThread(slot: number) {
      reset(slot)
      // Not in `reset`: a thread that has noted its exit can be sent a next job on the slot before its end is noticed.
      store(ints, int(slot, exit), exits.none)
    },
    /** Main: takes the job back; false when the thread has begun it. */
    recall: (slot: number) => compareExchange(ints, int(slot, phase), phases.sent, phases.recalled) === phases.sent,
    /** Main: asks the job to stop. */
    stop: (slot: number) => issue(slot, commands.stop),
    // The time is written before the phase, so a reader that sees the phase sees the time.
    /** Main: the phase of the job, and when it began to load or to run (`monotonicMs`). */
    phase: (slot: number) => ({ phase: load(ints, int(slot, phase)), sinceMs: readFloat(slot, since) }),
    /** Main: whether the thread has begun the job and has no outcome yet. */
    isBegun(slot: number): boolean {
      const now = load(ints, int(slot, phase))
      return now === phases.loading || now === phases.running
    },
    /** Main: the progress that the task has reported; null before it has reported any. */
    progress(slot: number): Progress | null {
      const fraction = readFloat(slot, progress)
      return isNaN(fraction) ? null : { fraction, message: readMessage(slot) }
    },
    /** Main: whether this slot's job, or code that an earlier job left running, noted that it ends the thread. */
    hasNotedExit: (slot: number) => load(ints, int(slot, exit)) !== exits.none,
    /** Main: whether this slot's current job noted that it ends the thread. */
    hasJobNotedExit: (slot: number) => load(ints, int(slot, exit)) === exits.job,
    /** Main: bytes that the thread held when the job began. */
    startBytes: (slot: number) => readFloat(slot, startBytes),
    /** Thread: begins the job; false when it was recalled before. */
    take(slot: number) {
      lastMessage[slot] = ''
      floats[float(slot, since)] = monotonicMs()
      return compareExchange(ints, int(slot, phase), phases.sent, phases.loading) === phases.sent
    },
    /** Thread: the task runs from now on. */
    setRunning(slot: number) {
      floats[float(slot, since)] = monotonicMs()
      store(ints, int(slot, phase), phases.running)
    },
    /** Thread: the job has its outcome. */
    setOver: (slot: number) => void store(ints, int(slot, phase), phases.over),
    /** Thread: ends `waitForStop`. */
    endWait: (slot: number) => issue(slot, commands.done),
    /** Thread: whether the job was asked to stop. */
    isStopped: (slot: number) => load(ints, int(slot, command)) === commands.stop,
    /** Thread: resolves when the job was asked to stop, or when `endWait` is called. */
    async waitForStop(slot: number): Promise<void> {
      const waited = waitAsync(ints, int(slot, command), commands.none)
      if (waited.async) await waited.value
    },
    /** Thread: reports progress, from 0 to 1 or NaN; cuts a message above 120 bytes of UTF-8. */
    setProgress(slot: number, fraction: number, message: string) {
      if (message !== lastMessage[slot]) writeMessage(slot, message)
      floats[float(slot, progress)] = fraction
    },
    /** Thread: notes that the current job, or code that an ended job left running, is about to end the thread. */
    noteExit(slot: number, by: 'job' | 'endedJob') {
      store(ints, int(slot, exit), exits[by])
    },
    setStartBytes(slot: number, bytesNow: number) {
      floats[float(slot, startBytes)] = bytesNow
    },
  }
}
