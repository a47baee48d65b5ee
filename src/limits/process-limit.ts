/** What the system lets this process have, as Linux shows it. */
import { readFileSync } from 'node:fs'

/** The soft limit; Infinity where there is none, or none is known (on other systems). */
export function readProcessLimit(name: 'Max open files' | 'Max processes'): number {
  const line = readText('/proc/self/limits')
    .split('\n')
    .find((text) => text.startsWith(name))
  const soft = line?.slice(name.length).trim().split(/\s+/)[0]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** Empty where the file is not there or cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
