/**
 * Keeps first jobs from ending or changing the process that they share with the service and, as a library, with a host. It
 * acts only on code that a first job has started, which it knows by the asynchronous context: what the host does itself,
 * and how the host's errors are handled, stays as it is.
 */
import dns from 'node:dns'
import net from 'node:net'
import type { Worker } from 'node:worker_threads'
import type { Log } from '../../log.ts'
import { bar, fenceProcess } from '../../tasks/process-fence.ts'
import type { Task } from '../../tasks/task-module.ts'
import { watchIntrinsics } from '../intrinsics.ts'
import { breakTask, currentTask, isInTask, taskNow, trapExit, type RunningTask } from '../running-task.ts'

let isGuarded = false

/** Call it before any task is loaded. It lasts, because code that a first job has left running may act at any time. */
export function guardProcess(): void {
  if (isGuarded) return
  isGuarded = true
  fenceListeners()
  // These settings belong to the whole process here; a pool thread has its own.
  for (const name of ['setServers', 'setDefaultResultOrder']) {
    bar(dns, 'dns', name, isInTask)
    bar(dns.promises, 'dns.promises', name, isInTask)
  }
  for (const name of ['setDefaultAutoSelectFamily', 'setDefaultAutoSelectFamilyAttemptTimeout']) {
    bar(net, 'net', name, isInTask)
  }
  // Node emits `worker` in the context of the code that made the worker, before any event of the worker itself.
  process.on('worker', keepContextOfWorker)
  keepContextOfFinalizers()
  keepContextOfWebAssembly()
  containStrays()
  trapExit('exit')
  trapExit('reallyExit')
  fenceProcess(isInTask)
}

/** Node emits these events before it handles an uncaught error, and leaves the error alone when `emit` returns true. */
function containStrays(): void {
  const { emit } = process
  const value = (event: unknown, ...args: unknown[]): boolean => {
    const task = taskNow()
    if (task !== undefined) {
      // The monitor's event comes just before `uncaughtException`, which breaks the task.
      if (event === 'uncaughtExceptionMonitor') return true
      if (event === 'uncaughtException' || event === 'unhandledRejection') {
        breakTask(task, args[0])
        return true
      }
    }
    return Boolean(Reflect.apply(emit, process, [event, ...args]))
  }
  Object.defineProperty(process, 'emit', { value, writable: true, configurable: true })
}

// Node loses the asynchronous context in a worker's events, finalizers and WebAssembly: it is kept for first jobs.

function keepContextOfWorker(worker: Worker): void {
  const task = taskNow()
  if (task === undefined) return
  const { emit } = worker
  worker.emit = (...args: unknown[]) => contain(task, () => Boolean(Reflect.apply(emit, worker, args)))
}

/** @returns true when the call throws: the event counts as heard */
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
  // Fails without an error when the built-ins are frozen (`--frozen-intrinsics`).
  Reflect.defineProperty(globalThis, 'FinalizationRegistry', { value, writable: true, configurable: true })
}

function keepContextOfWebAssembly(): void {
  // Node's types do not declare it.
  const api = Object(Reflect.get(globalThis, 'WebAssembly')) as object
  for (const name of ['compile', 'compileStreaming', 'instantiate', 'instantiateStreaming']) {
    const original: unknown = Reflect.get(api, name)
    if (typeof original !== 'function') continue
    const value = (...args: unknown[]): unknown => {
      const promise: unknown = Reflect.apply(original, api, args)
      // A promise that `then` makes is rejected in the context of the call, not in that of WebAssembly.
      return taskNow() === undefined ? promise : (promise as Promise<unknown>).then((made) => made)
    }
    Reflect.defineProperty(api, name, { value, writable: true, configurable: true, enumerable: true })
  }
}

interface ChangedVariable {
  /** The value before the first job wrote it; undefined: the variable did not exist. */
  readonly before: string | undefined
  readonly writers: Set<RunningTask>
}

/**
 * Takes back the environment variables that a first job wrote when the job ends; a pool thread has its own environment. Not
 * for a library: the proxy that replaces `process.env` cannot be cloned, which a host may want to do.
 */
export function fenceEnvironment(): void {
  // Only replaced, not read: main.ts alone reads the environment.
  const variables: NodeJS.ProcessEnv = Reflect.get(process, 'env')
  const changed = new Map<string, ChangedVariable>()

  function forget(name: string, variable: ChangedVariable, writer: RunningTask): void {
    variable.writers.delete(writer)
    if (variable.writers.size > 0 || changed.get(name) !== variable) return
    changed.delete(name)
    if (variable.before === undefined) delete variables[name]
    else variables[name] = variable.before
  }

  function write(name: string | symbol, change: () => boolean): boolean {
    const task = taskNow()
    if (typeof name === 'symbol') return change()
    if (task === undefined) {
      // What the host writes stays.
      changed.delete(name)
      return change()
    }
    // Ignored, because nothing would take it back.
    if (task.host.attempt.isOver()) return true
    const variable = changed.get(name) ?? { before: variables[name], writers: new Set() }
    changed.set(name, variable)
    if (!variable.writers.has(task)) void task.host.attempt.outcome.then(() => forget(name, variable, task))
    variable.writers.add(task)
    return change()
  }

  const value = new Proxy(variables, {
    set: (target, name, text) => write(name, () => Reflect.set(target, name, text)),
    deleteProperty: (target, name) => write(name, () => Reflect.deleteProperty(target, name)),
    defineProperty: (target, name, descriptor) => write(name, () => Reflect.defineProperty(target, name, descriptor)),
  })
  Object.defineProperty(process, 'env', { value, writable: true, configurable: true, enumerable: true })
}

type Listener = (...args: readonly unknown[]) => void

/** Removes the listeners of a first job when it ends, and keeps the job from removing others. */
function fenceListeners(): void {
  const ofFirstJobs = new WeakSet<Listener>()
  const isOthers = (event: unknown, listener: unknown): boolean =>
    process.listeners(event as NodeJS.Signals).includes(listener as () => void) &&
    !ofFirstJobs.has(listener as Listener)

  // Node emits `newListener` before it adds the listener, in the context of the code that adds it.
  process.on('newListener', (event: string | symbol, listener: Listener) => {
    const task = taskNow()
    if (task === undefined) return
    ofFirstJobs.add(listener)
    const remove = (): void => void process.removeListener(event, listener)
    if (task.host.attempt.isOver()) queueMicrotask(remove)
    else void task.host.attempt.outcome.then(remove)
  })
  for (const name of ['off', 'removeListener']) {
    bar(process, 'process', name, isInTask, ([event, listener]) => isOthers(event, listener))
  }
}

export interface BuiltInsGuardOptions {
  /** Called with a task that has changed a built-in. */
  readonly onChangedBy: (task: Task) => void
  readonly log: Log
}

/** A new task gets this many thorough checks, which include getters. */
const thoroughChecks = 60

export type BuiltInsGuard = ReturnType<typeof createBuiltInsGuard>

/** Restores built-ins that a first job has changed, as soon as the job has given the thread back. */
export function createBuiltInsGuard({ onChangedBy, log }: BuiltInsGuardOptions) {
  let intrinsics = watchIntrinsics()
  // Not a Map, whose methods a task may have changed.
  const checksOf = Object.create(null) as Record<string, number>

  function isNew({ name }: Task): boolean {
    const count = checksOf[name] ?? 0
    if (count < thoroughChecks) checksOf[name] = count + 1
    return count < thoroughChecks
  }

  function restore(changed: string, tasks: readonly Task[]): void {
    const left = intrinsics.restore()
    // Without a new watch, each check would find again what cannot be restored.
    if (left.length > 0) intrinsics = watchIntrinsics()
    const names = [...new Set(tasks.map(({ name }) => name))]
    const only = names.length === 1 ? tasks[0] : undefined
    if (only !== undefined) onChangedBy(only)
    const what = `${only === undefined ? 'a first job' : `the task ${only.name}`} changed ${changed} for the whole process`
    if (left.length > 0) return log.error({ tasks: names, changed, left }, `${what}, for good: start it again`)
    const effect = only === undefined ? 'it was put back' : 'its first jobs run in the pool now'
    log.warn({ tasks: names, changed }, `${what}: ${effect}`)
  }

  function handle(changed: string | null, tasks: readonly Task[]): void {
    if (changed === null) return
    // The host changed it itself.
    if (tasks.length === 0) intrinsics = watchIntrinsics()
    else restore(changed, tasks)
  }

  return {
    /**
     * Restores what has changed since the last check.
     * @param tasks those whose code may have run since then; with none, a change is the host's own and stays
     */
    check(tasks: readonly Task[]): void {
      const only = tasks.length === 1 ? tasks[0] : undefined
      const isThorough = only !== undefined && isNew(only)
      handle(isThorough ? intrinsics.findChanged() : intrinsics.findReplaced(), tasks)
    },
    /** For a job that has given the thread back and goes on later: checks only while its task is new. */
    checkEarly(task: Task): void {
      if (isNew(task)) handle(intrinsics.findChanged(), [task])
    },
  }
}
