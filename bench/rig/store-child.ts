/**
 * Works on a database through the engine itself, in a separate process and without the service: fills it with due
 * jobs, or claims some. Takes one JSON argument and prints one JSON line.
 */
import { newRunId } from '../../src/domain/ids.ts'
import { createLog } from '../../src/log.ts'
import { createSqliteStore } from '../../src/store/sqlite/engine.ts'
import type { NewJob } from '../../src/domain/run/new-run.ts'
import type { Store } from '../../src/store/store.ts'
import type { ClaimCost, ClaimOrder, Filling } from './store-work.ts'

const mostJobsPerRun = 100
const acceptsAtOnce = 20
const lockWaitMs = 15_000

function jobOf({ task, kind, priority }: Filling): NewJob {
  return { task, kind, priority, input: null, timeoutMs: 3_600_000, maxAttempts: 3, delayMs: 0 }
}

async function fill(store: Store, filling: Filling): Promise<void> {
  const job = jobOf(filling)
  let left = filling.jobs
  async function acceptUntilFull(): Promise<void> {
    while (left > 0) {
      const count = Math.min(left, mostJobsPerRun)
      left -= count
      const jobs = Array.from({ length: count }, () => job)
      const none = { tags: [], claimsFirst: false, traceparent: null, webhook: null, idempotency: null }
      await store.accept({ id: newRunId(), respond: 'none', onFirstFailure: 'continue', jobs, ...none }, Date.now())
    }
  }
  await Promise.all(Array.from({ length: acceptsAtOnce }, acceptUntilFull))
}

/** Claims one group after another, each after the previous one is settled; only the claims are measured. */
async function claim(store: Store, { kind, groups, size }: ClaimOrder): Promise<ClaimCost> {
  let jobs = 0
  let cpuUs = 0
  let wallUs = 0
  for (let group = 0; group < groups; group += 1) {
    const slots = [{ kind, thread: 'worker-1', count: size }]
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const claimed = await store.claim({ slots, taskLimits: {}, only: 'all', at: Date.now() })
    wallUs += (performance.now() - startedAt) * 1_000
    const { user, system } = process.cpuUsage(cpuBefore)
    cpuUs += user + system
    jobs += claimed.jobs.length
    await Promise.all(claimed.jobs.map((job) => store.complete(job, 'null', Date.now())))
  }
  if (jobs !== groups * size) throw new Error(`${groups * size} jobs were to be claimed, and ${jobs} were`)
  return { cpuUsPerJob: cpuUs / jobs, wallUsPerJob: wallUs / jobs }
}

// Written by store-work.ts, which has the same version.
const { path, fillings, claims } = JSON.parse(process.argv[2] ?? '') as {
  readonly path: string
  readonly fillings: readonly Filling[]
  readonly claims: ClaimOrder | null
}
const onLost = (error: Error): never => {
  throw error
}
const store = createSqliteStore({ path, lockWaitMs, onLost, log: createLog('silent') })
await store.open()
for (const filling of fillings) await fill(store, filling)
const cost = claims === null ? null : await claim(store, claims)
await store.close()
process.stdout.write(`${JSON.stringify(cost)}\n`)
