/**
 * Memory that the main thread and the pool's threads share: per lane (room for one job) a command to the thread, the
 * phase that the job is in and since when, and its progress. Reading or writing it costs no message.
 */

/** `stop` is the main thread's wish, `done` the thread's own word that nobody need listen any more. */
export const commands = { none: 0, stop: 1, done: 2 } as const
/** `sent`: on its way to the thread; `loading`: the thread imports the task's module; `running`: the task runs. */
export const phases = { sent: 0, loading: 1, running: 2 } as const
type Phase = (typeof phases)[keyof typeof phases]

const bytesPerLane = 24
const intsPerLane = bytesPerLane / Int32Array.BYTES_PER_ELEMENT
const floatsPerLane = bytesPerLane / Float64Array.BYTES_PER_ELEMENT
const commandInt = 0
const phaseInt = 1
const sinceFloat = 1
const progressFloat = 2

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
}

export function createControlBlock(buffer: SharedArrayBuffer): ControlBlock {
  const ints = new Int32Array(buffer)
  const floats = new Float64Array(buffer)
  const commandOf = (lane: number) => lane * intsPerLane + commandInt
  const phaseOf = (lane: number) => lane * intsPerLane + phaseInt
  const sinceOf = (lane: number) => lane * floatsPerLane + sinceFloat
  const progressOf = (lane: number) => lane * floatsPerLane + progressFloat

  function tell(lane: number, command: number): void {
    Atomics.store(ints, commandOf(lane), command)
    Atomics.notify(ints, commandOf(lane))
  }

  return {
    reset(lane) {
      floats[progressOf(lane)] = Number.NaN
      Atomics.store(ints, phaseOf(lane), phases.sent)
      Atomics.store(ints, commandOf(lane), commands.none)
    },
    stop: (lane) => tell(lane, commands.stop),
    phase(lane) {
      // The phase is written after its time, so whoever sees the phase sees the time.
      const phase = Atomics.load(ints, phaseOf(lane))
      return { phase, sinceMs: floats[sinceOf(lane)] ?? 0 }
    },
    progress(lane) {
      const fraction = floats[progressOf(lane)]
      return fraction === undefined || Number.isNaN(fraction) ? null : fraction
    },
    enter(lane, phase) {
      floats[sinceOf(lane)] = Date.now()
      Atomics.store(ints, phaseOf(lane), phase)
    },
    finish: (lane) => tell(lane, commands.done),
    isStopped: (lane) => Atomics.load(ints, commandOf(lane)) === commands.stop,
    async stopped(lane) {
      const waited = Atomics.waitAsync(ints, commandOf(lane), commands.none)
      if (waited.async) await waited.value
    },
    setProgress(lane, fraction) {
      floats[progressOf(lane)] = Math.min(1, Math.max(0, fraction))
    },
  }
}
