/** What Linux reports about processes: their descendants, names and memory. */
import { readdirSync, readFileSync } from 'node:fs'

const kilobytesPerMb = 1_024

/** All descendants of this process with this name; none if the system does not report them. */
export function descendantsNamed(command: string): number[] {
  const all = processes()
  const found: number[] = []
  let parents = new Set([process.pid])
  while (parents.size > 0) {
    const children = all.filter(({ parent }) => parents.has(parent))
    found.push(...children.filter(({ name }) => name === command).map(({ pid }) => pid))
    parents = new Set(children.map(({ pid }) => pid))
  }
  return found
}

/** In MiB; null if the system does not report it. */
export function residentMb(pid: number): number | null {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) / kilobytesPerMb
}

/** Bytes written to disks; null if the system does not report them. */
export function writtenBytes(pid: number): number | null {
  const bytes = /^write_bytes: (\d+)$/m.exec(read(`/proc/${pid}/io`))?.[1]
  return bytes === undefined ? null : Number(bytes)
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
}

function processes(): Process[] {
  let pids: string[] = []
  try {
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
  return pids.flatMap((pid) => {
    // proc(5): the name in brackets can contain anything, so the later fields are found from its end.
    const parts = /^\d+ \((?<name>.*)\) \S (?<parent>\d+) /s.exec(read(`/proc/${pid}/stat`))?.groups
    return parts === undefined ? [] : [{ pid: Number(pid), parent: Number(parts['parent']), name: parts['name'] ?? '' }]
  })
}

/** Empty if the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
