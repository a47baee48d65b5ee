/** What a first job leaves on `process` is taken back when it ends: environment variables and listeners. */
import { bar } from '../../tasks/process-fence.ts'
import { currentFirstAttempt, type FirstAttempt } from './first-attempt.ts'

interface Changed {
  /** Before the first of them wrote it; undefined: there was none. */
  readonly before: string | undefined
  readonly writers: Set<FirstAttempt>
}

/**
 * In a pool thread a task has an environment of its own; here it has that of the process until it ends. For a process of
 * our own: what stands for the environment from now on cannot be cloned, which a host may want to do.
 */
export function fenceEnvironment(): void {
  // Nothing is read here: main.ts alone does that.
  const variables: NodeJS.ProcessEnv = Reflect.get(process, 'env')
  const changed = new Map<string, Changed>()

  function forget(name: string, entry: Changed, writer: FirstAttempt): void {
    entry.writers.delete(writer)
    if (entry.writers.size > 0 || changed.get(name) !== entry) return
    changed.delete(name)
    if (entry.before === undefined) delete variables[name]
    else variables[name] = entry.before
  }

  function write(name: string | symbol, change: () => boolean): boolean {
    const attempt = currentFirstAttempt.getStore()
    if (typeof name === 'symbol') return change()
    if (attempt === undefined) {
      // The host's own word stands.
      changed.delete(name)
      return change()
    }
    // What a job writes after its end is no longer taken back, and so is not written.
    if (attempt.isOver()) return true
    const entry = changed.get(name) ?? { before: variables[name], writers: new Set() }
    changed.set(name, entry)
    if (!entry.writers.has(attempt)) void attempt.ended.then(() => forget(name, entry, attempt))
    entry.writers.add(attempt)
    return change()
  }

  const value = new Proxy(variables, {
    set: (target, name, text) => write(name, () => Reflect.set(target, name, text)),
    deleteProperty: (target, name) => write(name, () => Reflect.deleteProperty(target, name)),
    defineProperty: (target, name, rule) => write(name, () => Reflect.defineProperty(target, name, rule)),
  })
  Object.defineProperty(process, 'env', { value, writable: true, configurable: true, enumerable: true })
}

type Listener = (...args: readonly unknown[]) => void

/** A first job can listen until it ends, and cannot end the listening of others. */
export function fenceListeners(): void {
  const own = new WeakSet<Listener>()
  const isOthers = (event: unknown, listener: unknown): boolean =>
    process.listeners(event as NodeJS.Signals).includes(listener as () => void) && !own.has(listener as Listener)

  // Emitted before the listener is added, in the context of who adds it.
  process.on('newListener', (event: string | symbol, listener: Listener) => {
    const attempt = currentFirstAttempt.getStore()
    if (attempt === undefined) return
    own.add(listener)
    const remove = (): void => void process.removeListener(event, listener)
    if (attempt.isOver()) queueMicrotask(remove)
    else void attempt.ended.then(remove)
  })
  const isInTask = (): boolean => currentFirstAttempt.getStore() !== undefined
  for (const name of ['off', 'removeListener']) {
    bar(process, 'process', name, isInTask, ([event, listener]) => isOthers(event, listener))
  }
}
