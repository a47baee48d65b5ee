/** Lines of tasks stay with their run, the last ones of each, and are forgotten by age, by size and with the run. */
import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { newRunId } from '../../../src/domain/ids.ts'
import { chunksPerPrune, maxLineBytesPerRun, maxLinesPerRun } from '../../../src/domain/task-history.ts'
import type { Store } from '../../../src/store/store.ts'
import { acceptFirst, claimOne, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const chunk = (runId: string, text: string, lines = 1) => ({ runId, lines, text: JSON.stringify([text]) })
const large = maxLineBytesPerRun / 2 + 1

async function textsOf(store: Store, id: string, from = 0): Promise<unknown[]> {
  return (await store.chunksOf(id, from)).map(({ text }) => (JSON.parse(text) as unknown[])[0])
}

export function linesContract(register: Register): void {
  register('lines: chunks of a run are read in order, from any chunk on', async ({ store }) => {
    const [run, other] = [runOf(), runOf()]
    await store.accept(run, start)
    await store.accept(other, start)
    assert.equal(await store.chunksOf(run.id, 0), [])
    await store.keepLines([chunk(run.id, 'a \0 \ud800 😀'), chunk(other.id, 'x'), chunk(run.id, 'b')], start)
    await store.keepLines([chunk(run.id, 'c')], start + 1)
    assert.equal(await textsOf(store, run.id), ['a \0 \ud800 😀', 'b', 'c'])
    const [, second] = await store.chunksOf(run.id, 0)
    assert.equal(await textsOf(store, run.id, second?.id), ['b', 'c'])
    assert.equal(await textsOf(store, other.id), ['x'])
  })

  register('lines: those of an unknown run are dropped', async ({ store }) => {
    const run = runOf()
    await store.accept(run, start)
    await store.keepLines([chunk(newRunId(start), 'lost'), chunk(run.id, 'kept')], start)
    assert.equal(await textsOf(store, run.id), ['kept'])
    for (const id of [newRunId(start), 'none']) assert.equal(await store.chunksOf(id, 0), [])
  })

  register('lines: a run keeps its last ones, by their number and by their bytes', async ({ store }) => {
    const [many, much] = [runOf(), runOf()]
    await store.accept(many, start)
    await store.accept(much, start)
    const half = maxLinesPerRun / 2
    for (const text of ['1', '2', '3']) await store.keepLines([chunk(many.id, text, half)], start)
    assert.equal(await textsOf(store, many.id), ['2', '3'])
    for (const text of ['1', '2']) await store.keepLines([chunk(much.id, text.repeat(large))], start)
    assert.equal(await textsOf(store, much.id), ['2'.repeat(large)])
  })

  register('lines: they are removed with their run', async ({ store }) => {
    const run = runOf({ claimsFirst: true })
    const claim = await acceptFirst(store, run, start)
    await store.keepLines([chunk(run.id, 'a')], start)
    await store.complete(claim, '1', start)
    assert.is(await store.remove(run.id), 'removed')
    assert.equal(await store.chunksOf(run.id, 0), [])
    await store.keepLines([chunk(run.id, 'late')], start)
    assert.equal(await store.chunksOf(run.id, 0), [])
  })

  register('lines: the oldest are pruned when they are too old and when all are too large', async ({ store }) => {
    const run = runOf()
    await store.accept(run, start)
    await store.keepLines([chunk(run.id, 'old')], start)
    await store.keepLines([chunk(run.id, 'new')], start + 10)
    assert.is(await store.pruneLines(start, maxLineBytesPerRun), 0)
    assert.is(await store.pruneLines(start + 1, maxLineBytesPerRun), 1)
    assert.is(await store.pruneLines(start + 1, maxLineBytesPerRun), 0)
    assert.equal(await textsOf(store, run.id), ['new'])
    const runs = Array.from({ length: 3 }, () => runOf())
    for (const { id, ...rest } of runs) {
      await store.accept({ id, ...rest }, start)
      // No engine makes less of it.
      await store.keepLines([chunk(id, randomBytes(large).toString('base64'))], start + 20)
    }
    let pruned = 0
    for (let more = 1; more > 0; pruned += more) {
      more = await store.pruneLines(start, 2 * large)
      assert.ok(more <= chunksPerPrune)
    }
    assert.is(pruned, 3)
    const left = await Promise.all(runs.map(async ({ id }) => (await store.chunksOf(id, 0)).length))
    assert.equal(left, [0, 0, 1], 'the newest alone fits')
    assert.is(await store.pruneLines(start, 2 * large), 0)
  })

  register('lines: writing them does not change claimed jobs', async ({ store }) => {
    const run = runOf()
    await store.accept(run, start)
    const job = await claimOne(store, start)
    await store.keepLines([chunk(run.id, 'a')], start)
    assert.is(await store.complete(job, '1', start), 'settled')
  })
}
