/** Versions grow with every change, and listeners hear of exactly what was committed. */
import * as assert from 'uvu/assert'
import type { RunChange, RunRecord } from '../../../src/domain/run.ts'
import type { Store } from '../../../src/store/store.ts'
import { rejects } from '../../harness/rejects.ts'
import {
  acceptAndClaim,
  claimOne,
  entryAt,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import { until } from '../../harness/until.ts'
import type { Register } from './subject.ts'

export function changeContract(register: Register): void {
  register('each change of a run raises its version and is reported with it', async ({ store }) => {
    const changes = listen(store)
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 1_000 })] })
    await store.accept(run, start)
    const seen: RunRecord[] = []
    const look = async () => void seen.push(await runIn(store, run.id))

    const first = await claimOne(store, start)
    await look()
    await store.release(first, start)
    await look()
    const second = await claimOne(store, start)
    await look()
    await store.fail(second, taskError, start + 1, start)
    await look()
    await store.complete(await claimOne(store, start + 1), 'null', start + 1)
    await until('the answer is told', () => changes.some(({ isAnswered }) => isAnswered))
    await look()
    await store.complete(await claimOne(store, start + 1_000), 'null', start + 1_000)
    await until('the end is told', () => changes.some(({ state }) => state === 'completed'))
    await look()

    const versions = seen.map(({ version }) => version)
    assert.equal(
      versions,
      [...new Set(versions)].toSorted((a, b) => a - b),
      'every change has its own, higher version',
    )
    const told = new Map(changes.map((change) => [change.version, change]))
    assert.is(told.size, changes.length, 'a version is told once')
    for (const { id, version, state, answer } of seen) {
      assert.equal(told.get(version), { runId: id, version, state, isAnswered: answer !== null, voided: [] })
    }
    assert.equal(
      changes.map(({ version }) => version),
      [...told.keys()].toSorted((a, b) => a - b),
    )
  })

  register('an operation without effect is not reported and raises no version', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const waiting = runOf({ jobs: [jobOf({ delayMs: 1_000 })] })
    await store.accept(waiting, start)
    await until('the claim is told', async () => (await runIn(store, claim.runId)).version === 2)
    const changes = listen(store)
    await store.complete({ ...claim, claim: claim.claim + 1 }, '1', start)
    await store.cancel(claim.runId, 7, start)
    await store.claim(requestAt(start))
    await store.claim(requestAt(start, { only: 'suspects' }))
    await store.rescue(start)
    await store.prune(start + 1e9, 100, start)
    await store.getRun(waiting.id)
    await store.listRuns({ pageSize: 10 })
    await store.stats(start)
    await rejects(store.accept(waiting, start), 'internal')
    assert.is((await runIn(store, waiting.id)).version, 1)
    assert.is((await runIn(store, claim.runId)).version, 2)
    await store.complete(claim, '1', start)
    await until('the end is told', () => changes.length > 0)
    assert.equal(changes, [{ runId: claim.runId, version: 3, state: 'completed', isAnswered: true, voided: [] }])
  })

  register('every listener hears of every run that one moment changes', async ({ store }) => {
    const runs = Array.from({ length: 20 }, () => runOf())
    await Promise.all(runs.map((run) => store.accept(run, start)))
    const listeners = [listen(store), listen(store)]
    const { jobs } = await store.claim(requestAt(start))
    await Promise.all(jobs.map((job) => store.complete(job, 'null', start)))
    for (const changes of listeners) {
      const ended = () => changes.filter(({ state }) => state === 'completed')
      await until('every end is told', () => ended().length >= runs.length)
      assert.equal(
        ended()
          .map(({ runId }) => runId)
          .toSorted(),
        runs.map(({ id }) => id).toSorted(),
      )
    }
  })

  register('the last reported change of a run has its last version', async ({ store }) => {
    const run = runOf({ jobs: Array.from({ length: 30 }, () => jobOf()) })
    await store.accept(run, start)
    const changes = listen(store)
    const { jobs } = await store.claim(requestAt(start))
    await Promise.all(jobs.map((job) => store.complete(job, 'null', start)))
    const { version } = await runIn(store, run.id)
    await until('the last version is told', () => changes.at(-1)?.version === version)
    const versions = changes.map((change) => change.version)
    assert.equal(
      versions,
      [...new Set(versions)].toSorted((a, b) => a - b),
      'in order, none twice',
    )
    assert.equal(changes.filter(({ state }) => state !== 'running').length, 1)
  })

  register('a refused run does not suppress changes of other operations in its group', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 1_000 })] })
    const claim = await acceptAndClaim(store, run, start)
    const changes = listen(store)
    const refusing = [store.complete(claim, '1', start), rejects(store.accept(run, start), 'internal')] as const
    assert.is((await Promise.all(refusing))[0], 'settled')
    const answered = await runIn(store, run.id)
    // A later change, so that a missing one does not have to be waited for.
    await store.complete(await claimOne(store, start + 1_000), '2', start + 1_000)
    await until('the end is told', () => changes.some(({ state }) => state === 'completed'))
    const { version } = answered
    assert.equal(entryAt(changes, 0), { runId: run.id, version, state: 'running', isAnswered: true, voided: [] })
  })
}

function listen(store: Store): RunChange[] {
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  return changes
}
