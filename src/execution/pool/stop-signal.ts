/** The AbortSignal of a job on a thread: asynchronous code hears it as an event, synchronous code can poll it. */
import { apply } from '../../domain/primordials.ts'
import type { ControlBlock } from './control-block.ts'

export interface StopSignal {
  readonly signal: AbortSignal
  /** The job has ended: the slot's commands are no longer meant for this signal. */
  end(): void
}

/**
 * A signal that follows the slot's `stop` command. Its `aborted` and `throwIfAborted()` look into the shared memory
 * themselves, so a loop that never lets the event loop turn sees the command too.
 */
export function createStopSignal(control: ControlBlock, slot: number): StopSignal {
  const controller = new Controller()
  const { signal } = controller
  let isOver = false

  const poll = (): boolean => {
    const isAborted = readAborted(signal)
    if (isAborted || isOver || !control.isStopped(slot)) return isAborted
    apply(abort, controller, [new StopError('the job was asked to stop', 'AbortError')])
    return true
  }
  async function pollWhenStopped(): Promise<void> {
    await control.stopped(slot)
    poll()
  }
  // Both: throwIfAborted() does not ask the overridden getter.
  defineProperty(signal, 'aborted', { __proto__: null, get: poll } as PropertyDescriptor)
  defineProperty(signal, 'throwIfAborted', {
    __proto__: null,
    value: () => {
      if (poll()) throw signal.reason
    },
  } as PropertyDescriptor)
  void pollWhenStopped()
  return {
    signal,
    end() {
      isOver = true
      control.finish(slot)
    },
  }
}

// Taken before any task runs.
const { defineProperty } = Reflect
const Controller = AbortController
const StopError = DOMException
const { abort } = AbortController.prototype
const abortedGetter = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get

/** The signal's own state, past the override. */
function readAborted(signal: AbortSignal): boolean {
  return abortedGetter !== undefined && apply(abortedGetter, signal, []) === true
}
