/** Counts an attempt's time from its start on the thread, which only the shared memory knows. */
import { monotonicMs } from '../../domain/monotonic.ts'
import { phases, type ControlBlock } from './control-block.ts'

/** How soon to look again at a job that its thread has not begun. */
const lookAgainMs = 100
const unbegunAfterMs = 2_000

export interface AttemptTimer {
  cancel(): void
}

export interface AttemptTimerOptions {
  readonly control: ControlBlock
  readonly slot: number
  readonly timeoutMs: number
  /** How long a thread may take to import the task's module. */
  readonly loadLimitMs: number
  /** Called once when the task has run for `timeoutMs`, or its module was not loaded in time. */
  readonly onTimeout: (message: string) => void
  /** Called again and again while the thread has not begun the job for longer than seems right. */
  readonly onUnbegun: () => void
}

/** Time on the way to the thread does not count. */
export function startAttemptTimer(options: AttemptTimerOptions): AttemptTimer {
  const { control, slot, timeoutMs, loadLimitMs, onTimeout, onUnbegun } = options
  const sentAt = performance.now()
  let timer = setTimeout(look, Math.min(timeoutMs, unbegunAfterMs))

  function look(): void {
    const { phase, sinceMs } = control.phase(slot)
    if (phase === phases.sent) {
      if (performance.now() - sentAt >= unbegunAfterMs) onUnbegun()
      return lookIn(Math.min(timeoutMs, lookAgainMs))
    }
    if (!control.isBegun(slot)) return lookIn(Math.min(timeoutMs, lookAgainMs))
    const isLoading = phase === phases.loading
    const leftMs = sinceMs + (isLoading ? loadLimitMs : timeoutMs) - monotonicMs()
    if (leftMs > 0) return lookIn(isLoading ? Math.min(leftMs, lookAgainMs) : leftMs)
    onTimeout(isLoading ? `the module did not load within ${loadLimitMs} ms` : `did not end within ${timeoutMs} ms`)
  }

  function lookIn(delayMs: number): void {
    timer = setTimeout(look, delayMs)
  }

  return { cancel: () => clearTimeout(timer) }
}
