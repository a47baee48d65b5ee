/**
 * Keeps first jobs from ending or changing the process that they share with every request, and as a library with their
 * host. It heeds only code that a first job has started, which it knows by its asynchronous context: what the host does
 * itself, and what becomes of the host's own errors, stays as it is.
 */
import dns from 'node:dns'
import net from 'node:net'
import { bar, fenceProcess } from '../../tasks/process-fence.ts'
import { currentFirstAttempt } from './first-attempt.ts'
import { keepContexts } from './lost-contexts.ts'
import { fenceListeners } from './process-traces.ts'

const isInTask = (): boolean => currentFirstAttempt.getStore() !== undefined
const strays: ReadonlySet<unknown> = new Set(['uncaughtException', 'unhandledRejection'])

let isGuarded = false

/** Call it before any task is loaded. It lasts: what a first job has left behind may act at any time. */
export function guardProcess(): void {
  if (isGuarded) return
  isGuarded = true
  fenceListeners()
  // In a pool thread these are the thread's own.
  for (const name of ['setServers', 'setDefaultResultOrder']) {
    bar(dns, 'dns', name, isInTask)
    bar(dns.promises, 'dns.promises', name, isInTask)
  }
  for (const name of ['setDefaultAutoSelectFamily', 'setDefaultAutoSelectFamilyAttemptTimeout']) {
    bar(net, 'net', name, isInTask)
  }
  keepContexts()
  containStrays()
  containExit()
  fenceProcess(isInTask)
}

/** Node emits each of these before it does anything about the error, and does nothing where that has returned true. */
function containStrays(): void {
  const { emit } = process

  /** Whether the event is about an error of a first job, which then has it. */
  function contain(event: unknown, thrown: unknown): boolean {
    const attempt = currentFirstAttempt.getStore()
    if (attempt === undefined) return false
    // The monitor's event comes just before the other one.
    if (event === 'uncaughtExceptionMonitor') return true
    if (!strays.has(event)) return false
    attempt.blame(thrown)
    return true
  }

  const emitUncontained = (...args: unknown[]): boolean =>
    contain(args[0], args[1]) || Boolean(Reflect.apply(emit, process, args))
  Object.defineProperty(process, 'emit', { value: emitUncontained, writable: true, configurable: true })
}

function containExit(): void {
  for (const name of ['exit', 'reallyExit'] as const) {
    const exit = process[name]
    process[name] = (code) => {
      const attempt = currentFirstAttempt.getStore()
      if (attempt === undefined) return Reflect.apply(exit, process, [code]) as never
      const exitCode = Number(code ?? process.exitCode ?? 0)
      const message = `called process.${name}(${exitCode}) on the main thread`
      attempt.breakWith({ message, exitCode })
      throw new Error(`the task ${attempt.job.task} ${message}`)
    }
  }
}
