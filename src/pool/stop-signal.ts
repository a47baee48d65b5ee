/** The AbortSignal of a job on a thread: asynchronous code hears it as an event, synchronous code can poll it. */
import type { ControlBlock } from './control-block.ts'

export interface StopSignal {
  readonly signal: AbortSignal
  /** The job has ended: the lane's commands are no longer meant for this signal. */
  end(): void
}

/**
 * A signal that follows the lane's `stop` command. Its `aborted` and `throwIfAborted()` look into the shared memory
 * themselves, so a loop that never lets the event loop turn sees the command too.
 */
export function createStopSignal(control: ControlBlock, lane: number): StopSignal {
  const controller = new AbortController()
  const { signal } = controller
  let isOver = false

  const poll = (): boolean => {
    const isAborted = readAborted(signal)
    if (isAborted || isOver || !control.isStopped(lane)) return isAborted
    controller.abort(new DOMException('the job was asked to stop', 'AbortError'))
    return true
  }
  // Both: throwIfAborted() does not ask the overridden getter.
  Object.defineProperty(signal, 'aborted', { get: poll })
  Object.defineProperty(signal, 'throwIfAborted', {
    value: () => {
      if (poll()) throw signal.reason
    },
  })
  void control.stopped(lane).then(poll)
  return {
    signal,
    end() {
      isOver = true
      control.finish(lane)
    },
  }
}

const abortedGetter = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get

/** The signal's own state, past the override. */
function readAborted(signal: AbortSignal): boolean {
  return abortedGetter !== undefined && Reflect.apply(abortedGetter, signal, []) === true
}
