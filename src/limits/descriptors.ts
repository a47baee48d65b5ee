/** The file descriptors of this process: how many there may be, how many there are, and whether some are free now. */
import { closeSync, openSync, readdirSync } from 'node:fs'
import { devNull } from 'node:os'
import { readProcessLimit } from './process-limit.ts'

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
export function openSome(count: number): number[] {
  const opened: number[] = []
  try {
    while (opened.length < count) opened.push(openSync(devNull, 'r'))
  } catch {
    // There are no more.
  }
  return opened
}

export function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor)
}

/** Of this process, or of the whole system. */
function isExhausted(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code')
  return code === 'EMFILE' || code === 'ENFILE'
}
