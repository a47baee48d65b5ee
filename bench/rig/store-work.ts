/** Works on a database while no service uses it, in a child process that releases all its memory by ending. */
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
  /** Number of jobs in a group. */
  readonly size: number
}

/** Both threads together: the engine's and the caller's. */
export interface ClaimCost {
  readonly cpuUsPerJob: number
  readonly wallUsPerJob: number
}

const entry = fileURLToPath(new URL('./store-child.ts', import.meta.url))

/** @param path of an SQLite file, created if necessary */
export async function fillDatabase(path: string, fillings: readonly Filling[]): Promise<void> {
  await work({ path, fillings, claims: null })
}

/** @throws Error if the database has fewer due jobs */
export async function measureClaims(path: string, claims: ClaimOrder): Promise<ClaimCost> {
  // Child and parent have the same version.
  return JSON.parse(await work({ path, fillings: [], claims })) as ClaimCost
}

async function work(order: object): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [entry, JSON.stringify(order)])
  return stdout
}
