/**
 * Makes calls that would change or end the whole process throw in tasks, and in modules that are being loaded: tasks share
 * the process with the service and with each other. Other code can make these calls. Against mistakes, not malice.
 */
import asyncHooks, { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import inspector from 'node:inspector'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import v8 from 'node:v8'
import { BootError } from '../domain/errors.ts'

/** Whether a call with these arguments would affect the process. */
type Reaches = (args: readonly unknown[]) => boolean

const { apply, defineProperty, get, getOwnPropertyDescriptor } = Reflect
const ownPid = process.pid

const always: Reaches = () => true
const inProcess: Readonly<Record<string, Reaches>> = {
  chdir: always,
  umask: ([mask]) => mask !== undefined,
  setuid: always,
  setgid: always,
  seteuid: always,
  setegid: always,
  setgroups: always,
  initgroups: always,
  abort: always,
  execve: always,
  disconnect: always,
  loadEnvFile: always,
  setSourceMapsEnabled: always,
  setUncaughtExceptionCaptureCallback: always,
  addUncaughtExceptionCaptureCallback: always,
  removeAllListeners: always,
  _debugProcess: ([pid]) => isOurs(pid),
  _debugEnd: always,
  // `kill` first, because it calls `_kill`.
  kill: isEnding,
  _kill: isEnding,
  emit: isForged,
}

/** Call it before any task is loaded. @param isInTask whether the code that runs now belongs to a task */
export function fenceProcess(isInTask: () => boolean): void {
  for (const [name, reaches] of Object.entries(inProcess)) bar(process, 'process', name, isInTask, reaches)
  bar(v8, 'v8', 'setFlagsFromString', isInTask)
  bar(inspector, 'inspector', 'open', isInTask)
  // An error in an async hook ends the process, no matter which code runs.
  bar(asyncHooks, 'async_hooks', 'createHook', isInTask)
  bar(os, 'os', 'setPriority', isInTask, (args) => args.length < 2 || isOurs(args[0]))
  fenceStream('stdin', ['setRawMode'], isInTask)
  fenceStream('stdout', ['end', 'destroy'], isInTask)
  fenceStream('stderr', ['end', 'destroy'], isInTask)
  // For modules that import a function by its name.
  syncBuiltinESMExports()
}

/** For a child process that runs a task: only calls that affect its parent, the service, are barred there. */
export function fenceService(isInTask: () => boolean): void {
  const reachesService: Reaches = ([pid]) => Number(pid) === process.ppid
  const reachesAll: Reaches = ([pid, signal]) => signal !== 0 && (Number(pid) === -1 || reachesService([pid]))
  bar(process, 'process', 'kill', isInTask, reachesAll)
  bar(process, 'process', '_kill', isInTask, reachesAll)
  bar(process, 'process', '_debugProcess', isInTask, reachesService)
  bar(os, 'os', 'setPriority', isInTask, (args) => args.length > 1 && reachesService(args))
  syncBuiltinESMExports()
}

/** Makes `holder[name]` throw in a task, if there is such a function. @param reaches default: any call is barred */
export function bar(
  holder: object,
  prefix: string,
  name: string,
  isInTask: () => boolean,
  reaches: Reaches = always,
): void {
  const original: unknown = get(holder, name)
  if (typeof original !== 'function') return
  function barred(this: unknown, ...args: unknown[]): unknown {
    if (isInTask() && reaches(args)) throw notSupported(`${prefix}.${name}()`)
    return apply(original as () => unknown, this, args)
  }
  const { enumerable = false } = getOwnPropertyDescriptor(holder, name) ?? {}
  defineProperty(holder, name, { value: barred, writable: true, configurable: true, enumerable })
}

function notSupported(what: string): Error {
  const error = new Error(`${what} is not supported in a task: it would reach the whole process`)
  // A retry would fail in the same way.
  return Object.assign(error, { retryable: false })
}

/** Bars methods of a stream when it is first used: to create the stream now would cost time and have side effects. */
function fenceStream(name: 'stdin' | 'stdout' | 'stderr', methods: readonly string[], isInTask: () => boolean): void {
  const { get: original } = getOwnPropertyDescriptor(process, name) ?? {}
  if (original === undefined) return
  let fenced: unknown
  const getStream = (): unknown => {
    const stream: unknown = apply(original, process, [])
    if (stream === fenced) return stream
    fenced = stream
    for (const method of methods) bar(Object(stream), `process.${name}`, method, isInTask)
    return stream
  }
  defineProperty(process, name, { get: getStream, configurable: true, enumerable: true })
}

/** Whether an event was emitted by a task: a real signal comes with its number, and a real exit sets `_exiting`. */
function isForged([event, , number]: readonly unknown[]): boolean {
  if (event === 'exit') return get(process, '_exiting') !== true
  return /^(?:SIG[A-Z]|beforeExit$)/.test(String(event)) && typeof number !== 'number'
}

/** Signal 0 only tests whether the process exists. */
function isEnding([pid, signal]: readonly unknown[]): boolean {
  return signal !== 0 && isOurs(pid)
}

/** Whether a signal to this target reaches our own process, as itself, as part of a group, or through its parent. */
function isOurs(pid: unknown): boolean {
  const target = Number(pid)
  if (target === ownPid || target === process.ppid || target === 0 || target === -1) return true
  return target < 0 && processGroupOf('self') === String(-target)
}

/**
 * The process group, to which terminals and supervisors send signals. See proc(5): the name is in parentheses and can
 * contain any character; state, parent and group follow.
 * @param pid `self` for this process
 * @returns undefined: not known, except on Linux
 */
export function processGroupOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]
  } catch {
    return undefined
  }
}

/** `path` of the module; null: it is loaded. Code that the module has left running keeps the context. */
const loading = new AsyncLocalStorage<{ path: string | null }>()
let isWatching = false

/**
 * Loads a module, in which calls that end the process throw: otherwise the start of the service would end there, perhaps
 * with the exit code of a success.
 * @throws BootError that names the file when its module tries to end the process; else the error of `load`
 */
export async function withoutExit<Value>(path: string, load: () => Promise<Value>): Promise<Value> {
  if (!isWatching) watchExits()
  const module: { path: string | null } = { path }
  try {
    return await loading.run(module, load)
  } finally {
    module.path = null
  }
}

/** Permanent, because a module that imports such a function by its name keeps the one that it got. */
function watchExits(): void {
  isWatching = true
  for (const name of ['exit', 'reallyExit', 'abort', 'execve', 'kill']) {
    const original: unknown = Reflect.get(process, name)
    if (typeof original !== 'function') continue
    const watched = (...args: unknown[]): unknown => {
      const path = loading.getStore()?.path ?? null
      // The call does not come from a module that is being loaded.
      if (path === null || (name === 'kill' && !isEnding(args))) return Reflect.apply(original, process, args)
      throw new BootError(`${path}: calls process.${name}(${args.join(', ')}) while it is loaded`)
    }
    Object.defineProperty(process, name, { value: watched, writable: true, configurable: true, enumerable: true })
  }
  syncBuiltinESMExports()
}
