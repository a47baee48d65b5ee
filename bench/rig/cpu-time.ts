/** CPU time of each thread of other processes, as Linux counts it, in nanoseconds. */
import { readdir, readFile } from 'node:fs/promises'

export interface ThreadTime {
  readonly name: string
  readonly us: number
}

/** By thread id. */
export type CpuTimes = ReadonlyMap<string, ThreadTime>

const nsPerUs = 1_000

/** @returns null if the system does not report it */
export async function readCpuTimes(...pids: readonly number[]): Promise<CpuTimes | null> {
  try {
    return new Map((await Promise.all(pids.map(readProcess))).flat())
  } catch {
    return null
  }
}

async function readProcess(pid: number): Promise<[id: string, ThreadTime][]> {
  const ids = await readdir(`/proc/${pid}/task`)
  return Promise.all(ids.map(async (id): Promise<[string, ThreadTime]> => [id, await readThread(pid, id)]))
}

async function readThread(pid: number, id: string): Promise<ThreadTime> {
  const path = `/proc/${pid}/task/${id}`
  const [name, schedstat] = await Promise.all([readFile(`${path}/comm`, 'utf8'), readFile(`${path}/schedstat`, 'utf8')])
  const us = Number(schedstat.split(' ')[0]) / nsPerUs
  return { name: id === String(pid) ? 'main' : name.trim(), us }
}

/** CPU time in between, in microseconds by the name of the thread; threads with the same name are added up. */
export function spentUs(before: CpuTimes | null, after: CpuTimes | null): Record<string, number> {
  const spent: Record<string, number> = {}
  for (const [id, { name, us }] of after ?? []) {
    spent[name] = (spent[name] ?? 0) + us - (before?.get(id)?.us ?? 0)
  }
  return spent
}

export function sumOf(spent: Readonly<Record<string, number>>): number {
  return Object.values(spent).reduce((sum, us) => sum + us, 0)
}
