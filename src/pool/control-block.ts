/**
 * Memory that the main thread and the pool's threads share: per lane (room for one job) a command to the thread, the
 * phase that the job is in and since when, its progress, and what is to be known when its thread dies. Reading or
 * writing it costs no message.
 */

/** `stop` is the main thread's wish, `done` the thread's own word that nobody need listen any more. */
const commands = { none: 0, stop: 1, done: 2 } as const
/** `sent`: on its way to the thread; `loading`: the thread imports the task's module; `running`: the task runs. */
export const phases = { sent: 0, loading: 1, running: 2 } as const
type Phase = (typeof phases)[keyof typeof phases]

const bytesPerLane = 40
const intsPerLane = bytesPerLane / Int32Array.BYTES_PER_ELEMENT
const floatsPerLane = bytesPerLane / Float64Array.BYTES_PER_ELEMENT
// Places within a lane: the first 16 bytes as integers, the rest as floats.
const command = 0
const phase = 1
const hasExited = 2
const exitCode = 3
const since = 2
const progress = 3
const startBytes = 4

export function allocateControlBlock(lanes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lanes * bytesPerLane)
}

export interface ControlBlock {
  /** Main: makes a lane ready for its next job. */
  reset(lane: number): void
  /** Main: asks the job to stop. */
  stop(lane: number): void
  /** Main: where the job is, and since when (epoch milliseconds). */
  phase(lane: number): { readonly phase: number; readonly sinceMs: number }
  /** Main: from 0 to 1, or null while the task has told nothing. */
  progress(lane: number): number | null
  /** Main: the code with which the job ended its thread, or null when it did not. */
  exitCode(lane: number): number | null
  /** Main: bytes that the thread held when the job began. */
  startBytes(lane: number): number
  /** Thread: enters a phase now. */
  enter(lane: number, phase: Phase): void
  /** Thread: ends whatever waits for `stop`. */
  finish(lane: number): void
  /** Thread: whether the job was asked to stop. */
  isStopped(lane: number): boolean
  /** Thread: resolves when the job was asked to stop, or when it has finished. */
  stopped(lane: number): Promise<void>
  /** Thread: tells how far the job is. */
  setProgress(lane: number, fraction: number): void
  /** Thread: the job is about to end the thread. */
  setExitCode(lane: number, code: number): void
  setStartBytes(lane: number, bytes: number): void
}

export function createControlBlock(buffer: SharedArrayBuffer): ControlBlock {
  const ints = new Int32Array(buffer)
  const floats = new Float64Array(buffer)
  const int = (lane: number, place: number) => lane * intsPerLane + place
  const float = (lane: number, place: number) => lane * floatsPerLane + place
  const readFloat = (lane: number, place: number): number => floats[float(lane, place)] ?? Number.NaN

  function tell(lane: number, value: number): void {
    Atomics.store(ints, int(lane, command), value)
    Atomics.notify(ints, int(lane, command))
  }

  return {
    reset(lane) {
      floats[float(lane, progress)] = Number.NaN
      Atomics.store(ints, int(lane, hasExited), 0)
      Atomics.store(ints, int(lane, phase), phases.sent)
      Atomics.store(ints, int(lane, command), commands.none)
    },
    stop: (lane) => tell(lane, commands.stop),
    // The phase is written after its time, so whoever sees the phase sees the time.
    phase: (lane) => ({ phase: Atomics.load(ints, int(lane, phase)), sinceMs: readFloat(lane, since) }),
    progress(lane) {
      const fraction = readFloat(lane, progress)
      return Number.isNaN(fraction) ? null : fraction
    },
    exitCode: (lane) =>
      Atomics.load(ints, int(lane, hasExited)) === 0 ? null : Atomics.load(ints, int(lane, exitCode)),
    startBytes: (lane) => readFloat(lane, startBytes),
    enter(lane, next) {
      floats[float(lane, since)] = Date.now()
      Atomics.store(ints, int(lane, phase), next)
    },
    finish: (lane) => tell(lane, commands.done),
    isStopped: (lane) => Atomics.load(ints, int(lane, command)) === commands.stop,
    async stopped(lane) {
      const waited = Atomics.waitAsync(ints, int(lane, command), commands.none)
      if (waited.async) await waited.value
    },
    setProgress(lane, fraction) {
      floats[float(lane, progress)] = Math.min(1, Math.max(0, fraction))
    },
    setExitCode(lane, code) {
      Atomics.store(ints, int(lane, exitCode), code)
      Atomics.store(ints, int(lane, hasExited), 1)
    },
    setStartBytes(lane, bytes) {
      floats[float(lane, startBytes)] = bytes
    },
  }
}
