/** Counts an attempt's time from its start on the thread, which only the shared memory knows. */
import { phases, type ControlBlock } from './control-block.ts'

/** How long a thread may take to import a task's module. */
const loadLimitMs = 30_000
/** How soon to look again at a job that its thread has not begun. */
const lookAgainMs = 100

export interface AttemptTimer {
  cancel(): void
}

/**
 * Calls `onTimeout` once when the task has run for `timeoutMs`, or its module was not loaded within 30 s.
 * Time on the way to the thread does not count.
 */
export function startAttemptTimer(
  control: ControlBlock,
  lane: number,
  timeoutMs: number,
  onTimeout: (message: string) => void,
): AttemptTimer {
  let timer = setTimeout(look, timeoutMs)

  function look(): void {
    const { phase, sinceMs } = control.phase(lane)
    if (phase === phases.sent) return lookIn(Math.min(timeoutMs, lookAgainMs))
    const isLoading = phase === phases.loading
    const leftMs = sinceMs + (isLoading ? loadLimitMs : timeoutMs) - Date.now()
    if (leftMs > 0) return lookIn(isLoading ? Math.min(leftMs, lookAgainMs) : leftMs)
    onTimeout(isLoading ? `the module did not load within ${loadLimitMs} ms` : `did not end within ${timeoutMs} ms`)
  }

  function lookIn(delayMs: number): void {
    timer = setTimeout(look, delayMs)
  }

  return { cancel: () => clearTimeout(timer) }
}
