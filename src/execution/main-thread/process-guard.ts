/**
 * Keeps first jobs from ending or changing the process that they share with every request, and as a library with their
 * host. It heeds only code that a first job has started, which it knows by its asynchronous context: what the host does
 * itself, and how its own errors are handled, stays as it is.
 */
import dns from 'node:dns'
import net from 'node:net'
import type { Worker } from 'node:worker_threads'
import type { Log } from '../../log.ts'
import { bar, fenceProcess } from '../../tasks/process-fence.ts'
import type { Task } from '../../tasks/task-module.ts'
import { type Intrinsics, watchIntrinsics } from '../intrinsics.ts'
import { breakTask, currentTask, isInTask, type RunningTask, taskNow, trapExit } from '../running-task.ts'

const strays: ReadonlySet<unknown> = new Set(['uncaughtException', 'unhandledRejection'])

let isGuarded = false

/** Call it before any task is loaded. It lasts: code that a first job has left running may act at any time. */
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
  trapExit('exit')
  trapExit('reallyExit')
  fenceProcess(isInTask)
}

/** Node emits each of these before it does anything about the error, and does nothing where that has returned true. */
function containStrays(): void {
  const { emit } = process

  /** Whether the event is about an error of a first job, which then has it. */
  function hasBroken(event: unknown, thrown: unknown): boolean {
    const task = taskNow()
    if (task === undefined) return false
    // The monitor's event comes just before the other one.
    if (event === 'uncaughtExceptionMonitor') return true
    if (!strays.has(event)) return false
    breakTask(task, thrown)
    return true
  }

  const emitUncontained = (...args: unknown[]): boolean =>
    hasBroken(args[0], args[1]) || Boolean(Reflect.apply(emit, process, args))
  Object.defineProperty(process, 'emit', { value: emitUncontained, writable: true, configurable: true })
}

/** Where Node loses the asynchronous context of a first job: events of a worker's end, finalizers, and WebAssembly. */
function keepContexts(): void {
  // Emitted in the context of the code that has made it, before any event of its own.
  process.on('worker', keepContextOfWorker)
  keepContextOfFinalizers()
  keepContextOfWebAssembly()
}

function keepContextOfWorker(worker: Worker): void {
  const task = taskNow()
  if (task === undefined) return
  const { emit } = worker
  worker.emit = (...args: unknown[]) => contain(task, () => Boolean(Reflect.apply(emit, worker, args)))
}

/** @returns true where the call throws: as an event, it has been heard */
function contain(task: RunningTask, call: () => boolean): boolean {
  try {
    return currentTask.run(task, call)
  } catch (thrown) {
    breakTask(task, thrown)
    return true
  }
}

function keepContextOfFinalizers(): void {
  const value = new Proxy(FinalizationRegistry, {
    construct(target, args: [callback: (held: unknown) => unknown], newTarget) {
      const task = taskNow()
      const [callback] = args
      if (task === undefined || typeof callback !== 'function') return Reflect.construct(target, args, newTarget)
      const contained = (held: unknown): void => void contain(task, () => Boolean(callback(held)))
      return Reflect.construct(target, [contained], newTarget)
    },
  })
  // Where the language is frozen (`--frozen-intrinsics`) this does nothing.
  Reflect.defineProperty(globalThis, 'FinalizationRegistry', { value, writable: true, configurable: true })
}

function keepContextOfWebAssembly(): void {
  // Node's types do not have it.
  const api = Object(Reflect.get(globalThis, 'WebAssembly')) as object
  for (const name of ['compile', 'compileStreaming', 'instantiate', 'instantiateStreaming']) {
    const original: unknown = Reflect.get(api, name)
    if (typeof original !== 'function') continue
    const value = (...args: unknown[]): unknown => {
      const promise: unknown = Reflect.apply(original, api, args)
      // The one that is made here is rejected in the context that is there now.
      return taskNow() === undefined ? promise : (promise as Promise<unknown>).then((made) => made)
    }
    Reflect.defineProperty(api, name, { value, writable: true, configurable: true, enumerable: true })
  }
}

interface Changed {
  /** Before the first of them wrote it; undefined: there was none. */
  readonly before: string | undefined
  readonly writers: Set<RunningTask>
}

/**
 * In a pool thread a task has an environment of its own; here it has that of the process until it ends. For a process of
 * our own: what stands for the environment from now on cannot be cloned, which a host may want to do.
 */
export function fenceEnvironment(): void {
  // Nothing is read here: main.ts alone does that.
  const variables: NodeJS.ProcessEnv = Reflect.get(process, 'env')
  const changed = new Map<string, Changed>()

  function forget(name: string, entry: Changed, writer: RunningTask): void {
    entry.writers.delete(writer)
    if (entry.writers.size > 0 || changed.get(name) !== entry) return
    changed.delete(name)
    if (entry.before === undefined) delete variables[name]
    else variables[name] = entry.before
  }

  function write(name: string | symbol, change: () => boolean): boolean {
    const task = taskNow()
    if (typeof name === 'symbol') return change()
    if (task === undefined) {
      // What the host writes stays.
      changed.delete(name)
      return change()
    }
    // What a job writes after its end is no longer taken back, and so is not written.
    if (task.host.isOver()) return true
    const entry = changed.get(name) ?? { before: variables[name], writers: new Set() }
    changed.set(name, entry)
    if (!entry.writers.has(task)) void task.host.ended.then(() => forget(name, entry, task))
    entry.writers.add(task)
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
function fenceListeners(): void {
  const own = new WeakSet<Listener>()
  const isOthers = (event: unknown, listener: unknown): boolean =>
    process.listeners(event as NodeJS.Signals).includes(listener as () => void) && !own.has(listener as Listener)

  // Emitted before the listener is added, in the context of the code that adds it.
  process.on('newListener', (event: string | symbol, listener: Listener) => {
    const task = taskNow()
    if (task === undefined) return
    own.add(listener)
    const remove = (): void => void process.removeListener(event, listener)
    if (task.host.isOver()) queueMicrotask(remove)
    else void task.host.ended.then(remove)
  })
  for (const name of ['off', 'removeListener']) {
    bar(process, 'process', name, isInTask, ([event, listener]) => isOthers(event, listener))
  }
}

/** A job of which code may have run since the last look. */
export interface Suspect {
  readonly task: Task
}

export interface RealmGuardOptions {
  /** Called with a task that has changed something. */
  readonly onGuilty: (task: Task) => void
  readonly log: Log
}

/** While a task is new, it is looked at more often, and getters are looked at too. */
const fullLooks = 60

export type RealmGuard = ReturnType<typeof createRealmGuard>

export function createRealmGuard({ onGuilty, log }: RealmGuardOptions) {
  let intrinsics: Intrinsics = watchIntrinsics()
  // Not a Map: what it does may be what was changed.
  const looks = Object.create(null) as Record<string, number>

  function isNew({ name }: Task): boolean {
    const count = looks[name] ?? 0
    if (count < fullLooks) looks[name] = count + 1
    return count < fullLooks
  }

  function putBack(changed: string, suspects: readonly Suspect[]): void {
    const left = intrinsics.restore()
    // Otherwise what cannot be put back would be found again at each look.
    if (left.length > 0) intrinsics = watchIntrinsics()
    const names = [...new Set(suspects.map(({ task }) => task.name))]
    const only = names.length === 1 ? suspects[0]?.task : undefined
    if (only !== undefined) onGuilty(only)
    const what = only === undefined ? 'a first job' : `the task ${only.name}`
    const then = only === undefined ? 'it was put back' : 'its first jobs run in the pool now'
    if (left.length === 0)
      log.warn({ tasks: names, changed }, `${what} changed ${changed} for the whole process: ${then}`)
    else
      log.error(
        { tasks: names, changed, left },
        `${what} changed ${changed} for the whole process, for good: start it again`,
      )
  }

  function act(changed: string | null, suspects: readonly Suspect[]): void {
    if (changed === null) return
    if (suspects.length === 0) intrinsics = watchIntrinsics()
    else putBack(changed, suspects)
  }

  return {
    /** Puts back what has changed since the last look; without a suspect, no first job has changed it, and it stays. */
    look(suspects: readonly Suspect[]): void {
      const only = suspects.length === 1 ? suspects[0] : undefined
      const isFull = only !== undefined && isNew(only.task)
      act(isFull ? intrinsics.findChanged() : intrinsics.findReplaced(), suspects)
    },
    /** For a job that has only given the thread back: looks as long as its task is new here. */
    lookEarly(suspect: Suspect): void {
      if (isNew(suspect.task)) act(intrinsics.findChanged(), [suspect])
    },
  }
}
