/** Finds the process that has SQLite's lock on a file, on systems that list their locks, such as Linux. */
import { readFileSync, statSync } from 'node:fs'

/** @returns a phrase for people */
export function lockHolder(path: string): string {
  try {
    const { ino } = statSync(path)
    // "1: POSIX  ADVISORY  WRITE 4711 08:01:131085 1073741826 1073742335" (https://man7.org/linux/man-pages/man5/proc_locks.5.html)
    const lock = readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .find(([, , , , , file]) => file?.endsWith(`:${ino}`))
    const pid = Number(lock?.[4])
    // A process of another container has no number here.
    if (pid > 0) return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`
  } catch {
    // Another system, or the process has ended meanwhile.
  }
  return 'another process'
}
