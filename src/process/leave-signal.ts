/** The signals that ask the process to leave, and those that it does not heed. */
import type { Log } from '../log.ts'

/** npm, the terminal and a supervisor can each pass on the same Ctrl-C; who means it twice takes longer. */
const repeatMs = 500

// Taken before any task is loaded.
const now = performance.now.bind(performance)

/**
 * Calls back once, with the first signal that asks a process to leave; SIGHUP comes when its terminal is closed. A Ctrl-C
 * after that ends the process at once.
 */
export function onLeaveSignal(log: Log, leave: (signal: NodeJS.Signals) => void): void {
  let askedAt: number | null = null

  function onSignal(signal: NodeJS.Signals): void {
    if (askedAt === null) {
      askedAt = now()
      leave(signal)
    } else if (signal === 'SIGINT' && now() - askedAt >= repeatMs) {
      log.warn('stopping at once; the next start runs what was not handed back')
      process.off('SIGINT', onSignal)
      // The system's own way to end, as the shell expects it: no thread can hold it up.
      process.kill(process.pid, 'SIGINT')
    }
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  // Node would open its debugger to everybody on this machine.
  process.on('SIGUSR1', () => log.warn('SIGUSR1 is not heeded: start with --inspect to debug'))
}
