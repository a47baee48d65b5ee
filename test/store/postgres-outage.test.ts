/** A connection that is lost, a server that crashes or freezes: nothing acknowledged is lost, and it heals by itself. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { startPostgresProxy, type Verdict } from '../harness/postgres-proxy.ts'
import { makeSchema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptAndClaim, acceptFirst, claimOne, jobIn, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const quick = { connectMs: 1_000, statementMs: 1_500, queryMs: 2_000, doubtMs: 200, roundMs: 100 }

/** Judges so the next commit that comes by, and lets everything else pass. */
function nextCommit(verdict: Verdict): (bytes: Buffer) => Verdict {
  let isOver = false
  return (bytes) => {
    if (isOver || !bytes.includes('commit\0')) return 'pass'
    isOver = true
    return verdict
  }
}

async function openBehindProxy() {
  const stack = new AsyncDisposableStack()
  const schema = stack.use(await makeSchema())
  const proxy = stack.use(await startPostgresProxy(schema.url))
  const { store } = stack.use(await openPostgres({ url: proxy.url, name: schema.name }, quick))
  // From here on every commit of groups is a prepared one.
  await store.accept(runOf(), start)
  return { store, proxy, schema, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

for (const verdict of ['cut-before', 'cut-behind'] as const) {
  test(`a connection that is cut off ${verdict.slice(4)} a commit costs nobody anything`, async () => {
    await using opened = await openBehindProxy()
    const { store, proxy } = opened
    const changes: RunChange[] = []
    store.onChange((change) => void changes.push(change))
    const held = await claimOne(store, start)
    proxy.judge(nextCommit(verdict))
    const run = runOf()
    const [accepted, settled] = await Promise.all([store.accept(run, start), store.complete(held, '"once"', start)])
    assert.equal([accepted, settled], [{ result: 'accepted', first: null }, 'settled'])
    assert.is((await runIn(store, run.id)).version, 1)
    assert.is((await runIn(store, held.runId)).version, 3, 'it was done once')
    assert.is(changes.filter(({ runId, version }) => runId === held.runId && version === 3).length, 1)
    assert.equal((await store.stats(start)).conservation, { accepted: 2, final: 1, live: 1, lost: 0 })
    assert.is(store.backlog(), 1)
  })
}

test('what was committed while nobody could be told is handed back, or told when it is asked for again', async () => {
  await using opened = await openBehindProxy()
  const { store, proxy } = opened
  const held = await claimOne(store, start)
  const first = runOf({ claimsFirst: true })
  let isDown = false
  const atCommit = nextCommit('cut-behind')
  proxy.judge((bytes) => {
    if (isDown) return 'cut-before'
    const verdict = atCommit(bytes)
    isDown = verdict !== 'pass'
    return verdict
  })
  const asked = [store.complete(held, '"once"', start), store.accept(first, start)]
  for (const promise of asked) await rejects(promise, 'store-unavailable')
  await rejects(store.accept(runOf(), start), 'store-unavailable')
  isDown = false

  await until('it answers again', () => store.stats(start).then(Boolean, () => false))
  await until('the first job is handed back', async () => (await jobIn(store, first.id)).state === 'queued')
  assert.is(await store.complete(held, '"once"', start), 'settled', 'the commit took place, and it was its own')
  assert.is(await store.complete(held, '"twice"', start), 'stale')
  const again = await claimOne(store, Date.now())
  assert.equal([again.runId, again.attempt, again.lostStarts], [first.id, 1, 0])
  assert.equal((await store.stats(start)).conservation, { accepted: 2, final: 1, live: 1, lost: 0 })
  assert.is(store.backlog(), 1)
})

test('while the server is down everything is refused at once, and all goes on when it is back', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const { store } = opened
  let gaps = 0
  store.onGap(() => (gaps += 1))
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

test('a network that lets nothing through is found out, and refuses what is asked', async () => {
  await using opened = await openBehindProxy()
  const { store, proxy } = opened
  const claim = await claimOne(store, start)
  proxy.freeze()
  await rejects(store.complete(claim, '1', start), 'store-unavailable')
  proxy.thaw()
  assert.is(await store.complete(claim, '1', start), 'settled')
  assert.is((await runIn(store, claim.runId)).state, 'completed')
})

test('a job that is no longer its own ends here', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema, quick)
  const { store } = opened
  const claim = await acceptAndClaim(store, runOf(), start)
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  // As another process takes it back, without a word to this one.
  await schema.query(`UPDATE job SET owner = NULL, state = 'queued', run_at = 0`)
  await until('whoever runs it is told to stop', () => changes.some(({ voided }) => voided.includes(0)))
  assert.is(await store.complete(claim, '1', start), 'stale')
  const next = await claimOne(store, start)
  assert.ok(next.claim > claim.claim)
  assert.equal((await store.claim(requestAt(start))).jobs, [])
})

test.run()
