/** How long each thread of another process has been on a core, as Linux counts it in nanoseconds. */
import { readdir, readFile } from 'node:fs/promises'

export interface ThreadTime {
  readonly name: string
  readonly us: number
}

/** By thread id. */
export type CpuTimes = ReadonlyMap<string, ThreadTime>

const nsPerUs = 1_000

/** @returns null where the system does not tell */
export async function readCpuTimes(pid: number): Promise<CpuTimes | null> {
  try {
    const ids = await readdir(`/proc/${pid}/task`)
    const entries = await Promise.all(ids.map(async (id) => [id, await readThread(pid, id)] as const))
    return new Map(entries)
  } catch {
    return null
  }
}

async function readThread(pid: number, id: string): Promise<ThreadTime> {
  const path = `/proc/${pid}/task/${id}`
  const [name, schedstat] = await Promise.all([readFile(`${path}/comm`, 'utf8'), readFile(`${path}/schedstat`, 'utf8')])
  const us = Number(schedstat.split(' ')[0]) / nsPerUs
  return { name: id === String(pid) ? 'main' : name.trim(), us }
}

/** What was spent in between, in microseconds by the name of the thread. */
export function spentUs(before: CpuTimes, after: CpuTimes): Map<string, number> {
  const spent = new Map<string, number>()
  for (const [id, { name, us }] of after) {
    spent.set(name, (spent.get(name) ?? 0) + us - (before.get(id)?.us ?? 0))
  }
  return spent
}
