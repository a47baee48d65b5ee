/** A connection is lost, or the server crashes or freezes: nothing acknowledged is lost, and the store recovers by itself. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { rescueJobs } from '../../src/domain/run/transitions.ts'
import type { Timing } from '../../src/store/postgres/connection/connection.ts'
import { changeRecords } from '../harness/postgres-records.ts'
import { startPostgresProxy, type Verdict } from '../harness/postgres-proxy.ts'
import { makeSchema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  entryAt,
  jobIn,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
} from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const quick = { connectMs: 1_000, statementMs: 1_500, queryMs: 2_000, unknownCommitMs: 200, roundMs: 100 }

/** Judges so what first comes by with each of these words, in this order, and lets everything else pass. */
function inTurn(...verdicts: readonly [word: string, verdict: Verdict][]): (bytes: Buffer) => Verdict {
  const left = [...verdicts]
  return (bytes) => {
    const [word = '', verdict = 'pass'] = left[0] ?? []
    if (left.length === 0 || !bytes.includes(word)) return 'pass'
    left.shift()
    return verdict
  }
}

/** As messages name them: the statements that commit what comes in and what is settled, and the end of all others. */
const [accepting, settling, ending] = ['write added', 'write changed', 'commit\0']
/** The first statement of what is asked again, because it may have taken place. */
const askingAgain = 'lock-records'

async function openBehindProxy(timing: Partial<Timing> = {}) {
  const stack = new AsyncDisposableStack()
  const schema = stack.use(await makeSchema())
  const proxy = stack.use(await startPostgresProxy(schema.url))
  const { store } = stack.use(await openPostgres({ url: proxy.url, name: schema.name }, { ...quick, ...timing }))
  // Both of its connections for writing are made.
  await store.complete(await acceptAndClaim(store, runOf(), start), '1', start)
  return { store, proxy, schema, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const losses: [where: string, verdicts: [word: string, verdict: Verdict][]][] = [
  ...[accepting, settling, ending].flatMap((word): typeof losses => [
    [`before ${word.replace('\0', '')}`, [[word, 'cut-before']]],
    [`behind ${word.replace('\0', '')}`, [[word, 'cut-behind']]],
  ]),
  [
    'before it settles, and behind what asks again',
    [
      [settling, 'cut-before'],
      [askingAgain, 'cut-behind'],
    ],
  ],
  [
    'behind what settles, and before what asks again',
    [
      [settling, 'cut-behind'],
      [askingAgain, 'cut-before'],
    ],
  ],
]

for (const [where, verdicts] of losses) {
  test(`a connection that is cut off ${where} costs nobody anything`, async () => {
    await using opened = await openBehindProxy({ unknownCommitMs: 10_000 })
    const { store, proxy } = opened
    const changes: RunChange[] = []
    store.onChange((change) => void changes.push(change))
    await store.accept(runOf({ jobs: [jobOf(), jobOf()] }), start)
    const { jobs } = await store.claim(requestAt(start))
    const [held, failing] = [entryAt(jobs, 0), entryAt(jobs, 1)]
    proxy.judge(inTurn(...verdicts))
    // Its key makes it a transaction of several statements.
    const idempotency = { scope: '', key: 'k', bodyDigest: 'd', isDeferred: false }
    const run = runOf(where.endsWith('commit') ? { idempotency } : {})
    const asked = [
      store.accept(run, start),
      store.complete(held, '"once"', start),
      store.fail(failing, taskError, null, start),
    ]
    assert.equal(await Promise.all(asked), [{ result: 'accepted', first: null }, 'settled', 'settled'])
    assert.is((await runIn(store, run.id)).version, 1)
    assert.is((await runIn(store, held.runId)).version, 4, 'each was done once')
    await until('the end is told', () => changes.some(({ state }) => state === 'failed'))
    assert.equal((await store.stats(start)).conservation, { accepted: 4, final: 3, live: 1, lost: 0 })
    assert.is(store.backlog(), 1)
    // The lanes go on.
    assert.is(await store.complete(await claimOne(store, start), '1', start), 'settled')
  })
}

test('after a commit with a lost reply, claimed jobs are handed back, and repeated outcomes succeed', async () => {
  await using opened = await openBehindProxy()
  const { store, proxy } = opened
  const held = await acceptAndClaim(store, runOf(), start)
  const first = runOf({ claimsFirst: true })
  let isDown = true
  const committing = new Set([accepting, settling])
  proxy.judge((bytes) => {
    const statement = [...committing].find((name) => bytes.includes(name))
    if (statement === undefined) return isDown ? 'cut-before' : 'pass'
    committing.delete(statement)
    return 'cut-behind'
  })
  const asked = [store.complete(held, '"once"', start), store.accept(first, start)]
  for (const promise of asked) await rejects(promise, 'store-unavailable')
  await rejects(store.accept(runOf(), start), 'store-unavailable')
  isDown = false

  await until('it answers again', () => store.stats(start).then(Boolean, () => false))
  await until('the first job is handed back', async () => (await jobIn(store, first.id)).state === 'queued')
  assert.is(await store.complete(held, '"once"', start), 'settled', 'the commit took place, and it was its own')
  assert.is(await store.complete(held, '"twice"', start), 'settled')
  assert.is((await jobIn(store, held.runId)).result, '"once"')
  const again = await claimOne(store, Date.now())
  assert.equal([again.runId, again.attempt, again.lostStarts], [first.id, 1, 0])
  assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 2, live: 1, lost: 0 })
  await until('the backlog is known', () => store.backlog() === 1)
})

test('a step whose reply is lost is kept, and read once', async () => {
  await using opened = await openBehindProxy({ unknownCommitMs: 10_000 })
  const { store, proxy } = opened
  const claim = await acceptAndClaim(store, runOf(), start)
  for (const verdict of ['cut-before', 'cut-behind'] as const) {
    proxy.judge(inTurn([settling, verdict]))
    assert.is(await store.keepStep(claim, { name: verdict, value: '1' }, start), 'kept')
  }
  assert.equal(
    (await jobIn(store, claim.runId)).steps?.map(({ name }) => name),
    ['cut-before', 'cut-behind'],
  )
  const page = await store.stepsOf(claim, 0)
  assert.equal(new Set(page?.steps.map(({ name }) => name)), new Set(['cut-before', 'cut-behind']))
})

test('a removal whose reply is lost reports success when repeated', async () => {
  await using opened = await openBehindProxy({ unknownCommitMs: 10_000 })
  const { store, proxy } = opened
  const claim = await acceptAndClaim(store, runOf(), start)
  await store.complete(claim, '1', start)
  proxy.judge(inTurn(['write removed', 'cut-behind']))
  assert.is(await store.remove(claim.runId), 'removed')
  assert.is(await store.getRun(claim.runId), null)
  assert.is(await store.remove(claim.runId), 'not-found')
})

test('a request that may have been committed is never repeated as a new one', async () => {
  await using opened = await openBehindProxy()
  const { store, proxy } = opened
  let isOver = false
  // The commit is lost, and so is what asks again until nobody waits any more: just then the database answers.
  proxy.judge((bytes) => {
    if (bytes.includes(askingAgain)) return 'cut-before'
    if (isOver || !bytes.includes(accepting)) return 'pass'
    isOver = true
    return 'cut-behind'
  })
  const [run, claimed] = [runOf(), runOf({ claimsFirst: true })]
  const asked = [store.accept(run, start), store.accept(claimed, start)]
  await Promise.all(asked.map((promise) => rejects(promise, 'store-unavailable')))
  proxy.judge(() => 'pass')
  for (const { id } of [run, claimed]) assert.is((await runIn(store, id)).state, 'running')
})

test('while the server is down everything is refused at once, and works again when it is back', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const { store } = opened
  let gaps = 0
  store.notifier?.onGap(() => (gaps += 1))
  const held = await acceptFirst(store, runOf({ claimsFirst: true }), start)
  await schema.postgres.crash()
  try {
    await rejects(store.accept(runOf(), start), 'store-unavailable')
    await rejects(store.complete(held, '1', start), 'store-unavailable')
    await rejects(store.getRun(held.runId), 'store-unavailable')
    await rejects(store.stats(start), 'store-unavailable')
    await rejects(store.prune(start, 1, start), 'store-unavailable')
  } finally {
    await schema.postgres.restart()
  }
  assert.is(await store.complete(held, '1', start), 'settled')
  assert.is((await runIn(store, held.runId)).state, 'completed')
  await until('it hears of others again', () => gaps > 0)
  assert.is(await store.prune(start + 1, 10, start), 1)
})

test('a silent network is detected, and operations are refused', async () => {
  await using opened = await openBehindProxy()
  const { store, proxy } = opened
  const claim = await acceptAndClaim(store, runOf(), start)
  proxy.freeze()
  await rejects(store.complete(claim, '1', start), 'store-unavailable')
  proxy.thaw()
  assert.is(await store.complete(claim, '1', start), 'settled')
  assert.is((await runIn(store, claim.runId)).state, 'completed')
})

test('a process whose totals were removed during its silence adds them again', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const { store } = opened
  await store.accept(runOf({ jobs: Array.from({ length: 5 }, () => jobOf()) }), start)
  const claiming = (count: number) =>
    store.claim(requestAt(start, { slots: [{ thread: 'worker-1', kind: 'io', count }] }))
  const { jobs } = await claiming(3)
  const steps: (() => Promise<unknown>)[] = [
    () => store.accept(runOf({ idempotency: { scope: '', key: 'k', bodyDigest: '', isDeferred: false } }), start),
    () => store.accept(runOf(), start),
    () => claiming(1),
    () => store.complete(entryAt(jobs, 0), '1', start),
    () => store.fail(entryAt(jobs, 1), taskError, null, start),
    () => store.claim(requestAt(start)),
  ]
  for (const step of steps) {
    await schema.query('DELETE FROM tally')
    await step()
  }
  const { state, jobs: after } = await runIn(store, entryAt(jobs, 0).runId)
  assert.is(state, 'running')
  assert.equal(
    after.map((job) => job.state),
    ['completed', 'failed', 'running', 'running', 'running'],
  )
  assert.is((await store.listRuns({ pageSize: 10 })).runs.length, 3)
})

test('a job that is no longer its own ends here', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const { store } = opened
  const claim = await acceptAndClaim(store, runOf(), start)
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  // As another process takes it back, without a word to this one.
  await changeRecords(schema, (run) => rescueJobs(run, () => true, start))
  await until('whoever runs it is told to stop', () =>
    changes.some(({ voided }) => voided.some(({ jobIndex }) => jobIndex === 0)),
  )
  assert.is(store.notifier?.lostClaims(), 1)
  assert.is(await store.complete(claim, '1', start), 'stale')
  const next = await claimOne(store, start)
  assert.ok(next.claim > claim.claim)
  assert.equal((await store.claim(requestAt(start))).jobs, [])
})

test.run()
