/** What a figure was taken on: without it no figure says anything. */
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, type as system } from 'node:os'

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const load = loadavg()[0]?.toFixed(2) ?? '?'
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
  return `${date} UTC, ${availableParallelism()} cores (${model}), ${system()} ${release()}, Node ${process.version}, load average before ${load}`
}

/** As Linux names it in statfs(2). */
const tmpfsType = 0x01021994

/** A database in memory would be told as durable: whoever reads the figures is to know. */
export async function describeDisk(directory: string): Promise<string> {
  const { type } = await statfs(directory)
  return type === tmpfsType ? `database in ${directory}, WHICH IS MEMORY AND NO DISK: set TMPDIR` : 'database on a disk'
}
