/** The file descriptors and threads that the system lets this process have. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { backOffMs } from '../domain/job.ts'
import type { Log } from '../log.ts'

/** Lists the open descriptors. Windows has no such directory, so they are not counted there. */
const descriptorDirectory = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'

/** Infinity: no limit is known. Node raises the soft limit to the hard one when it starts. */
export function descriptorLimit(): number {
  return readProcessLimit('Max open files')
}

/**
 * How many connections a server may hold. A twentieth of all descriptors, and at least 32, is left for tasks, threads and
 * files, so the result can be zero or less. Infinity: no limit is known.
 */
export function connectionRoom(): number {
  const limit = descriptorLimit()
  if (!Number.isFinite(limit)) return limit
  return limit - countDescriptors(limit) - Math.max(32, Math.floor(limit / 20))
}

/** Takes about 0.5 ms for a thousand open descriptors. @returns `limit` when none is left, NaN where they cannot be counted */
export function countDescriptors(limit: number): number {
  try {
    // Reading the directory takes one itself.
    return readdirSync(descriptorDirectory).length - 1
  } catch (error) {
    return isExhausted(error) ? limit : Number.NaN
  }
}

/**
 * With fewer left, a module or a thread that cannot be loaded may be without fault: more than loading opens at once, because
 * others can have closed some since it failed.
 */
export const descriptorsToLoad = 16

/** Whether `count` more descriptors can be opened. Opens them: about 3 µs each. */
export function canOpen(count: number): boolean {
  const opened = openUpTo(count)
  closeAll(opened)
  return opened.length === count
}

function openUpTo(count: number): number[] {
  const opened: number[] = []
  try {
    while (opened.length < count) opened.push(openSync(devNull, 'r'))
  } catch {
    // No more are left.
  }
  return opened
}

function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor)
}

/** EMFILE: the process has no descriptor left. ENFILE: the whole system has none. */
function isExhausted(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code')
  return code === 'EMFILE' || code === 'ENFILE'
}

interface DescriptorWatchOptions {
  /** Called when descriptors run short, and again while that lasts, at growing intervals. */
  readonly onShort: () => void
  /** Counts the open descriptors. */
  readonly count: () => number
  readonly log: Log
}

const reserveSize = 8
/** Short: fewer than this are left besides the reserve. As many connections as the service accepts leave more. */
const fewLeft = 12
/** Enough again, after the reserve was released: after it is taken back, there are clearly more than few. */
const enoughLeft = 28
/** Short, because new connections are reset until the shortage is noticed. */
const checkIntervalMs = 250
/** A job that has begun since the threads were replaced can have taken what they gave back. */
const firstRepeatMs = 1_000
const maxRepeatMs = 10_000

/**
 * Notices that the process runs out of file descriptors, logs it, and has the threads replaced: when a thread ends, Node
 * closes what its tasks have left open. (It does not close what tasks of the main thread have left open.) Meanwhile a
 * released reserve serves connections and files.
 */
export function createDescriptorWatch({ onShort, count, log }: DescriptorWatchOptions) {
  let reserve: number[] = []
  let isShort = false
  /** In this shortage. */
  let reactions = 0
  let nextReactionAt = 0
  let timer: NodeJS.Timeout | undefined

  function releaseReserve(): void {
    closeAll(reserve)
    reserve = []
  }

  function check(): void {
    const wasShort = isShort
    // Opening so few takes less than 0.1 ms; counting all open descriptors can take much longer.
    isShort = !canOpen(wasShort ? enoughLeft : fewLeft)
    if (isShort) return react()
    reactions = 0
    if (reserve.length === 0) reserve = openUpTo(reserveSize)
    if (wasShort) log.info({ open: count() }, 'there are enough file descriptors again')
  }

  /** A new shortage, however soon after the last one, is reacted to at once: until then, jobs and connections suffer. */
  function react(): void {
    releaseReserve()
    if (reactions > 0 && performance.now() < nextReactionAt) return
    reactions += 1
    nextReactionAt = performance.now() + backOffMs(reactions, firstRepeatMs, maxRepeatMs)
    log.warn({ open: count() }, 'file descriptors run short: the threads will be replaced')
    onShort()
  }

  return {
    start(): void {
      timer = setInterval(check, checkIntervalMs).unref()
    },
    stop(): void {
      clearInterval(timer)
      releaseReserve()
    },
    isShort: (): boolean => isShort,
  }
}

/** Other processes can start threads between the check and the start of ours. */
const margin = 8
/** With less room than this, the threads are counted at each check. */
const nearMargin = 64
const countMaxAgeMs = 1_000

/**
 * Checks whether the system lets this process start another thread. Linux bounds the threads of a user (`ulimit -u`) and of
 * a control group (`pids.max`, in containers); on other systems the check always succeeds.
 */
export function createThreadRoom() {
  const files: number[] = []
  const buffer = Buffer.alloc(128)

  /** The files stay open, because no descriptor may be left when they are needed. Each read gets the current text. */
  function reader(path: string): (() => string) | null {
    try {
      const file = openSync(path, 'r')
      files.push(file)
      return () => buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0))
    } catch {
      return null
    }
  }

  const groups = groupDirectories().flatMap((path) => {
    const [count, max] = [reader(join(path, 'pids.current')), reader(join(path, 'pids.max'))]
    // Without a bound, `pids.max` is "max", and NaN compares as false.
    return count === null || max === null ? [] : [() => !(Number(count()) + margin >= Number(max()))]
  })
  // Root has no limit.
  const userLimit = process.getuid?.() === 0 ? Number.POSITIVE_INFINITY : readProcessLimit('Max processes')
  const load = Number.isFinite(userLimit) ? reader('/proc/loadavg') : null
  let counted = { threads: Number.NaN, all: 0, at: Number.NEGATIVE_INFINITY }

  /** The threads of the whole system: 110 in "0.50 0.60 0.44 1/110 14679". */
  function allThreads(): number {
    return Number(/\/(\d+) /.exec(load?.() ?? '')?.[1])
  }

  function userHasRoom(): boolean {
    if (load === null) return true
    const all = allThreads()
    // Nearly always true, and cheap: not even all threads of the system would reach the limit.
    if (all + margin < userLimit) return true
    const isFresh = performance.now() - counted.at < countMaxAgeMs
    const guess = counted.threads + Math.max(0, all - counted.all)
    if (isFresh && guess + nearMargin < userLimit) return true
    counted = { threads: countThreadsOfUser(), all, at: performance.now() }
    return counted.threads + margin < userLimit
  }

  return {
    /** Takes some microseconds; near the user's limit it reads the status of every process. */
    hasRoom: (): boolean => userHasRoom() && groups.every((isOpen) => isOpen()),
    close(): void {
      for (const file of files) closeSync(file)
      files.length = 0
    },
  }
}

/** Directories of the control groups that can bound the threads of this process. */
function groupDirectories(): string[] {
  const found = readText('/proc/self/cgroup')
    .split('\n')
    .map((line) => /^\d+:(?<controllers>[^:]*):(?<path>\/.*)$/.exec(line)?.groups)
    .find((groups) => groups?.['controllers'] === '' || groups?.['controllers']?.split(',').includes('pids'))
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/pids'].flatMap((root) => {
    const names = (found?.['path'] ?? '/').split('/').filter((name) => name !== '')
    return [...names.map((_, depth) => join(root, ...names.slice(0, depth + 1))), root]
  })
}

/** Counts the threads of visible processes; those of other containers are not visible. */
function countThreadsOfUser(): number {
  const user = process.getuid?.()
  let threads = 0
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^\d/.test(name) || statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid !== user) continue
      threads += Number(/^Threads:\s+(\d+)/m.exec(readText(`/proc/${name}/status`))?.[1] ?? 1)
    }
  } catch {
    // Without a descriptor left to count with, there is no room either.
    return Number.POSITIVE_INFINITY
  }
  return threads
}

/** The soft limit on Linux. Infinity: there is none, or none is known. */
function readProcessLimit(name: 'Max open files' | 'Max processes'): number {
  const line = readText('/proc/self/limits')
    .split('\n')
    .find((text) => text.startsWith(name))
  const soft = line?.slice(name.length).trim().split(/\s+/)[0]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** Empty: the file cannot be read. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
