/** Which process group a process is in, as the terminal and a supervisor signal it. */
import { readFileSync } from 'node:fs'

/**
 * See proc(5): the name, which may hold anything, is in brackets; the state, the parent and the group follow.
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
