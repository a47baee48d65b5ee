/** The file descriptors of this process: how many there may be and are, and what to do when they run short. */
import { closeSync, openSync, readdirSync } from 'node:fs'
import { devNull } from 'node:os'
import type { Log } from '../log.ts'
import { readProcessLimit } from './thread-room.ts'

/** Where the system shows them; elsewhere (Windows) they are not counted. */
const directory = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'

/** Node raises the soft limit to the hard one when it starts. Infinity where none is known. */
export function descriptorLimit(): number {
  return readProcessLimit('Max open files')
}

/**
 * How many connections a server may hold, so that a twentieth of all descriptors is left for tasks, threads and files,
 * and 32 at the least. Not above zero where there are too few to begin with; Infinity where no limit is known.
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

/** Whether so many more can be opened, which is tried: about 3 µs each. */
export function canOpen(count: number): boolean {
  const opened = openSome(count)
  closeAll(opened)
  return opened.length === count
}

/** Fewer where there are not so many. */
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
      log.warn({ open: count() }, 'file descriptors run short: the threads are to be replaced')
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
