/** The clock of this machine, of another one or of the server steps: no job waits longer, and no process counts as dead. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { adaptLogger } from '../../src/log.ts'
import type { Store } from '../../src/store/store.ts'
import { makeSchema } from '../harness/postgres.ts'
import { openPostgres, postgresStore } from '../harness/store-postgres.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  jobIn,
  jobOf,
  requestAt,
  runOf,
  start,
  taskError,
} from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const quick = { leaseMs: 2_000, renewMs: 200, roundMs: 50 }
const hourMs = 3_600_000
const steps = [-24 * hourMs, -hourMs, hourMs, 24 * hourMs]

for (const step of steps) {
  test(`what is due at once can be claimed after a step of the clock by ${step / hourMs} h`, async () => {
    await using schema = await makeSchema()
    await using opened = await openPostgres(schema)
    const { store } = opened
    const later = start + step
    await store.accept(runOf(), start)
    const accepted = await claimOne(store, later)
    assert.ok(accepted.waitedMs >= 0)
    await store.release(accepted, start)
    const released = await claimOne(store, later)
    await store.fail(released, taskError, null, start)
    await store.retry(released.runId, 0, start)
    assert.ok(Number((await store.stats(later)).oldestQueuedMs) >= 0)
    const retried = await claimOne(store, later)
    assert.is(await store.complete(retried, '1', later), 'settled')
    const [, { jobs }] = await Promise.all([store.accept(runOf(), start), store.claim(requestAt(later))])
    assert.is(jobs.length, 1, 'in the commit that accepts it')
  })
}

const waits: Readonly<Record<string, (store: Store, at: number) => Promise<string>>> = {
  async delay(store, at) {
    const run = runOf({ jobs: [jobOf({ delayMs: 300 })] })
    await store.accept(run, at)
    return run.id
  },
  async retry(store, at) {
    const claim = await acceptAndClaim(store, runOf(), at)
    const error = { ...taskError, message: 'what is "finishedAt":9999999999999 in it' }
    await store.fail(claim, error, at + 300, at)
    return claim.runId
  },
}

for (const [name, begin] of Object.entries(waits)) {
  test(`a ${name} that began on a clock a day ahead waits for as long as it was to wait`, async () => {
    await using schema = await makeSchema()
    await using ahead = await openPostgres(schema)
    const runId = await begin(ahead.store, Date.now() + 24 * hourMs)
    await using opened = await openPostgres(schema, quick)
    const { runAt } = await until('the wait is moved', async () => {
      const job = await jobIn(opened.store, runId)
      return (job.runAt ?? Infinity) < Date.now() + hourMs && job
    })
    assert.ok(Number(runAt) <= Date.now() + 300)
    await until('it can be claimed', async () => (await opened.store.claim(requestAt(Date.now()))).jobs.length === 1)
  })
}

test('processes whose heartbeats look old on the clock of the server, and change, keep their jobs', async () => {
  await using schema = await makeSchema()
  await using one = await openPostgres(schema, quick)
  await using other = await openPostgres(schema, quick)
  const kept = await acceptFirst(one.store, runOf({ claimsFirst: true }), start)
  // As if the clock of the server had gone ahead by a day since each of them.
  await schema.query(`CREATE FUNCTION age_heartbeat() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.heartbeat_at = NEW.heartbeat_at - interval ''1 day''; RETURN NEW; END'`)
  await schema.query(
    `CREATE TRIGGER age BEFORE INSERT OR UPDATE ON process FOR EACH ROW EXECUTE FUNCTION age_heartbeat()`,
  )
  await schema.query('UPDATE process SET heartbeat_at = heartbeat_at')
  const beats = new Set<string>()
  await until('longer than a lease has passed', async () => {
    for (const { id, beat } of await schema.query<{ id: string; beat: string }>(
      'SELECT id, heartbeat_at::text AS beat FROM process',
    )) {
      beats.add(`${id} ${beat}`)
    }
    return beats.size > (2 * quick.leaseMs * 2) / quick.renewMs
  })
  const job = await jobIn(other.store, kept.runId)
  assert.is(job.state, 'running')
  assert.is(await one.store.complete(kept, '1', start), 'settled')
})

test('a process whose clock differs from that of the database says so at its start', async () => {
  await using schema = await makeSchema()
  const warnings: string[] = []
  const ignore = (): void => {}
  const warn = (_fields: object, message: string): void => void warnings.push(message)
  const log = adaptLogger({ debug: ignore, info: ignore, warn, error: ignore })
  for (const aheadMs of [hourMs, -hourMs, 1_000]) {
    const clock = { now: () => Date.now() + aheadMs }
    await using scoped = postgresStore(schema, {}, [], false, { clock, log })
    await scoped.store.open()
  }
  const consequence = 'that of the database: delays, expiry, schedules and retention go by it'
  assert.equal(warnings, [
    `the clock of this process is 3600 s ahead of ${consequence}`,
    `the clock of this process is 3600 s behind ${consequence}`,
  ])
})

test.run()
