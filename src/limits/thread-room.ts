/**
 * Whether the system lets this process start another thread: Linux bounds the threads of a user (`ulimit -u`) and those
 * of a control group (`pids.max`, as containers have it). Elsewhere the answer is always yes.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Others can start threads between the look and the start of ours. */
const margin = 8
/** From here on the threads are counted at each question. */
const nearMargin = 64
const countMaxAgeMs = 1_000

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
export function readProcessLimit(name: 'Max open files' | 'Max processes'): number {
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
