/**
 * Bars tasks from what changes or ends the whole process, which they share with the service and with each other: such
 * a call throws in a task, and in a module that is being loaded, and is left alone everywhere else. Meant for mistakes,
 * not for malice.
 */
import asyncHooks, { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import inspector from 'node:inspector'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import v8 from 'node:v8'
import { BootError } from '../domain/errors.ts'

/** Whether this call of a barred function would reach the process; default: any call would. */
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
  // In this order: the first calls the second.
  kill: isEnding,
  _kill: isEnding,
  emit: isForged,
}

/** Call it before any task is loaded. @param isInTask whether the code that runs now is a task's */
export function fenceProcess(isInTask: () => boolean): void {
  for (const [name, reaches] of Object.entries(inProcess)) bar(process, 'process', name, isInTask, reaches)
  bar(v8, 'v8', 'setFlagsFromString', isInTask)
  bar(inspector, 'inspector', 'open', isInTask)
  // An error in such a hook ends the process, no matter whose code runs.
  bar(asyncHooks, 'async_hooks', 'createHook', isInTask)
  bar(os, 'os', 'setPriority', isInTask, (args) => args.length < 2 || isOurs(args[0]))
  fenceStream('stdin', ['setRawMode'], isInTask)
  fenceStream('stdout', ['end', 'destroy'], isInTask)
  fenceStream('stderr', ['end', 'destroy'], isInTask)
  // An import of a function by its name gets the same.
  syncBuiltinESMExports()
}

/** In a process of the tasks' own: there they are barred from the service alone, which is its parent. */
export function fenceService(isInTask: () => boolean): void {
  const reachesService: Reaches = ([pid]) => Number(pid) === process.ppid
  const reachesAll: Reaches = ([pid, signal]) => signal !== 0 && (Number(pid) === -1 || reachesService([pid]))
  bar(process, 'process', 'kill', isInTask, reachesAll)
  bar(process, 'process', '_kill', isInTask, reachesAll)
  bar(process, 'process', '_debugProcess', isInTask, reachesService)
  bar(os, 'os', 'setPriority', isInTask, (args) => args.length > 1 && reachesService(args))
  syncBuiltinESMExports()
}

/** Makes `holder[name]` throw in a task. Does nothing where there is no such function. */
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
  // Trying again would end in the same way.
  return Object.assign(error, { retryable: false })
}

/** Streams are made when they are first asked for, which has its price and its effects: not here. */
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

/** A signal that was really sent comes with its number, and process.exit() has said that it exits. */
function isForged([event, , number]: readonly unknown[]): boolean {
  if (event === 'exit') return get(process, '_exiting') !== true
  return /^(?:SIG[A-Z]|beforeExit$)/.test(String(event)) && typeof number !== 'number'
}

/** Signal 0 only asks whether there is such a process. */
function isEnding([pid, signal]: readonly unknown[]): boolean {
  return signal !== 0 && isOurs(pid)
}

/** Whether a signal to this number reaches our own process: by its number, as one of a group, or by way of its parent. */
function isOurs(pid: unknown): boolean {
  const target = Number(pid)
  if (target === ownPid || target === process.ppid || target === 0 || target === -1) return true
  return target < 0 && processGroupOf('self') === String(-target)
}

/**
 * Which process group a process is in, as the terminal and a supervisor signal it. See proc(5): the name, which may hold anything, is in brackets; the state, the parent and the group follow.
 * @param pid `self` for this one
 * @returns undefined where the system does not say (it does on Linux)
 */
export function processGroupOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]
  } catch {
    return undefined
  }
}

/** `path` of the module; null once it is loaded: code that it has left running keeps the context. */
const loading = new AsyncLocalStorage<{ path: string | null }>()
let isWatching = false

/**
 * Makes what ends the process fail in a module that is being loaded: the start would end there, even as a success.
 * @throws BootError that names the file when its module wants to end the process; else what `load` throws
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

/** For good, because a module that imports such a function by its name keeps the one that it got. */
function watchExits(): void {
  isWatching = true
  for (const name of ['exit', 'reallyExit', 'abort', 'execve', 'kill']) {
    const original: unknown = Reflect.get(process, name)
    if (typeof original !== 'function') continue
    const watched = (...args: unknown[]): unknown => {
      const path = loading.getStore()?.path ?? null
      // What is not the module's doing ends the process as ever.
      if (path === null || (name === 'kill' && !isEnding(args))) return Reflect.apply(original, process, args)
      throw new BootError(`${path}: calls process.${name}(${args.join(', ')}) while it is loaded`)
    }
    Object.defineProperty(process, name, { value: watched, writable: true, configurable: true, enumerable: true })
  }
  syncBuiltinESMExports()
}
