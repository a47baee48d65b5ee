/** The file descriptors and threads that the system lets this process have: how many, and what to do when they run short. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import type { Log } from '../log.ts'

/** Where the system shows them; elsewhere (Windows) they are not counted. */
const directory = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'

/** Node raises the soft limit to the hard one when it starts. Infinity where none is known. */
export function descriptorLimit(): number {
  return readProcessLimit('Max open files')
}

/**
 * How many connections a server may hold, so that a twentieth of all descriptors is left for tasks, threads and files,
 * and at least 32. Not above zero where there are too few to begin with; Infinity where no limit is known.
 */
export function connectionRoom(): number {
  const limit = descriptorLimit()
  if (!Number.isFinite(limit)) return limit
  return limit - countDescriptors(limit) - Math.max(32, Math.floor(limit / 20))
}

/** Those that are open now; NaN where the system does not show them, the limit where it cannot be asked. Takes about 0.5 ms for a thousand. */
export function countDescriptors(limit: number): number {
  try {
    // The one that reads the directory is among them.
    return readdirSync(directory).length - 1
  } catch (error) {
    return isExhausted(error) ? limit : Number.NaN
  }
}

/** Whether `count` more can be opened, by opening them: about 3 µs each. */
export function canOpen(count: number): boolean {
  const opened = openSome(count)
  closeAll(opened)
  return opened.length === count
}

/** Fewer where fewer are left. */
function openSome(count: number): number[] {
  const opened: number[] = []
  try {
    while (opened.length < count) opened.push(openSync(devNull, 'r'))
  } catch {
    // There are no more.
  }
  return opened
}

function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor)
}

/** Of this process, or of the whole system. */
function isExhausted(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code')
  return code === 'EMFILE' || code === 'ENFILE'
}

export interface DescriptorWatchOptions {
  /** Called when they run short, at most every ten seconds. */
  readonly onShort: () => void
  /** How many are open. */
  readonly count: () => number
  readonly log: Log
}

/** Trying to open them takes less than a tenth of a millisecond; a count of all that are open can take much longer. */
const fewLeft = 24
const heldBack = 8
/** Until it is noticed, new connections are reset. */
const checkIntervalMs = 250
const shortAgainMs = 10_000

/**
 * Notices that the process is about to run out of file descriptors, says so, and has the threads replaced: when a
 * thread ends, Node closes what its tasks have left open. What the main thread's tasks leave open stays. Meanwhile
 * connections and files get what was held back for them.
 */
export function createDescriptorWatch({ onShort, count, log }: DescriptorWatchOptions) {
  let reserve: number[] = []
  let isShort = false
  let reactedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  function release(): void {
    closeAll(reserve)
    reserve = []
  }

  function check(): void {
    const wasShort = isShort
    isShort = !canOpen(fewLeft)
    if (isShort) release()
    else if (reserve.length === 0) reserve = openSome(heldBack)
    if (isShort && performance.now() - reactedAt > shortAgainMs) {
      reactedAt = performance.now()
      log.warn({ open: count() }, 'file descriptors run short: the threads will be replaced')
      onShort()
    } else if (wasShort && !isShort) {
      log.info({ open: count() }, 'there are enough file descriptors again')
    }
  }

  return {
    start(): void {
      timer = setInterval(check, checkIntervalMs).unref()
    },
    stop(): void {
      clearInterval(timer)
      release()
    },
    /** Whether too few are left to promise anything. */
    isShort: (): boolean => isShort,
  }
}

/** Others can start threads between the look and the start of ours. */
const margin = 8
/** From here on the threads are counted at each question. */
const nearMargin = 64
const countMaxAgeMs = 1_000

/**
 * Whether the system lets this process start another thread: Linux bounds the threads of a user (`ulimit -u`) and those
 * of a control group (`pids.max`, as containers have it). Elsewhere the answer is always yes.
 */
export function createThreadRoom() {
  const files: number[] = []
  const buffer = Buffer.alloc(128)

  /** Kept open: when it matters there may be no descriptor left. The system writes the text at each reading. */
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
    // "max" is no number: there is no bound.
    return count === null || max === null ? [] : [() => !(Number(count()) + margin >= Number(max()))]
  })
  // The system's own user has no bound.
  const userLimit = process.getuid?.() === 0 ? Number.POSITIVE_INFINITY : readProcessLimit('Max processes')
  const load = Number.isFinite(userLimit) ? reader('/proc/loadavg') : null
  let counted = { threads: Number.NaN, all: 0, at: Number.NEGATIVE_INFINITY }

  /** All threads of the system: "0.50 0.60 0.44 1/110 14679". */
  function allThreads(): number {
    return Number(/\/(\d+) /.exec(load?.() ?? '')?.[1])
  }

  function userHasRoom(): boolean {
    if (load === null) return true
    const all = allThreads()
    // Nearly always: not even all of them would reach the limit.
    if (all + margin < userLimit) return true
    const isFresh = performance.now() - counted.at < countMaxAgeMs
    const guess = counted.threads + Math.max(0, all - counted.all)
    if (isFresh && guess + nearMargin < userLimit) return true
    counted = { threads: countThreadsOfUser(), all, at: performance.now() }
    return counted.threads + margin < userLimit
  }

  return {
    /** Takes some microseconds, and a look at every process where the user's threads come near their limit. */
    hasRoom: (): boolean => userHasRoom() && groups.every((isOpen) => isOpen()),
    close(): void {
      for (const file of files) closeSync(file)
      files.length = 0
    },
  }
}

/** The control groups of this process that can bound its threads, from its own to the outermost that it sees. */
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

/** Of all processes that can be seen; those of other containers cannot. */
function countThreadsOfUser(): number {
  const user = process.getuid?.()
  let threads = 0
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^\d/.test(name) || statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid !== user) continue
      threads += Number(/^Threads:\s+(\d+)/m.exec(readText(`/proc/${name}/status`))?.[1] ?? 1)
    }
  } catch {
    // No descriptor is left to look with: there is no room either.
    return Number.POSITIVE_INFINITY
  }
  return threads
}

/** What the system lets this process have, as Linux shows it: the soft limit; Infinity where there is none, or none is known (on other systems). */
function readProcessLimit(name: 'Max open files' | 'Max processes'): number {
  const line = readText('/proc/self/limits')
    .split('\n')
    .find((text) => text.startsWith(name))
  const soft = line?.slice(name.length).trim().split(/\s+/)[0]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** Empty where the file is not there or cannot be read. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
