/** Work on a database while no service has it, done by a child process that is gone afterwards, with all its memory. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Jobs that are due at once, in runs of at most a hundred. */
export interface Filling {
  readonly task: string
  readonly kind: 'io' | 'cpu'
  readonly jobs: number
  readonly priority: number
}

export interface ClaimOrder {
  readonly kind: 'io' | 'cpu'
  readonly groups: number
  /** Jobs of a group. */
  readonly size: number
}

/** Of both threads together, the engine's and the one that asks. */
export interface ClaimCost {
  readonly cpuUsPerJob: number
  readonly wallUsPerJob: number
}

const entry = fileURLToPath(new URL('./store-child.ts', import.meta.url))

/** @param path of an SQLite file, made where there is none */
export async function fillDatabase(path: string, fillings: readonly Filling[]): Promise<void> {
  await work({ path, fillings, claims: null })
}

/** @throws Error where the database has not as many jobs that are due */
export async function measureClaims(path: string, claims: ClaimOrder): Promise<ClaimCost> {
  // Both ends are ours.
  return JSON.parse(await work({ path, fillings: [], claims })) as ClaimCost
}

async function work(order: object): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [entry, JSON.stringify(order)])
  return stdout
}
