/**
 * A disk that is full refuses writes and nothing else, and is used again as soon as there is room. A limit on the
 * size of files, set and lifted from outside, stands for the full disk: Node ignores its signal, so writes fail.
 */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rejects } from '../harness/rejects.ts'
import { startStoreProcess, type StoreProcess } from '../harness/store-process.ts'
import { entryAt, jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

const canLimit = spawnSync('prlimit', ['--version']).status === 0
if (!canLimit) console.log('skipped: there is no prlimit to limit the size of files with')
const limitedTest = canLimit ? test : test.skip
const input = JSON.stringify('x'.repeat(20_000))
const pageSize = 10_000
const longWaitMs = 20_000

function limitFileSize(pid: number, bytes: number | 'unlimited'): void {
  // Only the soft limit, so that it can be lifted again.
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`])
  assert.is(status, 0, String(stderr))
}

/** Leaves room in the log for some bytes more than it has, so that a write can also end midway. */
function fillDisk(path: string, { pid }: StoreProcess, leftBytes: number): void {
  limitFileSize(pid, Math.max(statSync(path).size, statSync(`${path}-wal`).size) + leftBytes)
}

async function idsIn(other: StoreProcess): Promise<string[]> {
  return (await other.call('listRuns', { pageSize })).runs.map(({ id }) => id)
}

limitedTest('a full disk refuses writes, reads work, and with space again writes work too', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const kept: string[] = []
  {
    await using other = await startStoreProcess(path)
    const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
    await other.call('accept', run, start)
    kept.push(run.id)
    const { jobs } = await other.call('claim', requestAt(start, { slots: [{ thread: 'w', kind: 'io', count: 2 }] }))
    const before = await other.call('getRun', run.id)
    const statsBefore = await other.call('stats', start)

    fillDisk(path, other, 6_000)
    for (let round = 0; round < 3; round += 1) {
      await rejects(other.call('accept', runOf({ jobs: [jobOf({ input })] }), start), 'store-unavailable')
      await rejects(other.call('complete', entryAt(jobs, 0), input, start), 'store-unavailable')
      const bigError = { ...taskError, stack: input }
      await rejects(other.call('fail', entryAt(jobs, 1), bigError, null, start), 'store-unavailable')
      assert.equal(await other.call('getRun', run.id), before)
      assert.equal(await idsIn(other), kept)
      assert.equal(await other.call('stats', start), statsBefore)
    }

    limitFileSize(other.pid, 'unlimited')
    assert.is(await other.call('complete', entryAt(jobs, 0), input, start + 1), 'settled')
    assert.is(await other.call('release', entryAt(jobs, 1), start + 1), 'settled')
    const late = runOf({ jobs: [jobOf({ input })] })
    await other.call('accept', late, start + 2)
    kept.push(late.id)
    assert.is((await other.call('claim', requestAt(start + 2))).jobs.length, 3)
    assert.equal((await other.call('stats', start)).conservation, { accepted: 4, final: 1, live: 3, lost: 0 })
    await other.kill()
  }
  await using reopened = await openSqlite(path, longWaitMs)
  const { runs } = await reopened.store.listRuns({ pageSize })
  assert.equal(runs.map(({ id }) => id).toSorted(), kept)
  assert.is((await reopened.store.stats(start)).conservation.lost, 0)
})

limitedTest('a store whose disk fills up during many writes keeps exactly the acknowledged groups', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const acknowledged: string[] = []
  {
    await using other = await startStoreProcess(path)
    const before = runOf()
    await other.call('accept', before, start)
    acknowledged.push(before.id)
    fillDisk(path, other, 500_000)
    let refused = 0
    for (let group = 0; group < 30; group += 1) {
      const runs = Array.from({ length: 4 }, () => runOf({ jobs: [jobOf({ input }), jobOf()] }))
      const outcomes = await Promise.allSettled(runs.map((run) => other.call('accept', run, start)))
      const done = runs.filter((_, index) => outcomes[index]?.status === 'fulfilled')
      acknowledged.push(...done.map(({ id }) => id))
      refused += runs.length - done.length
    }
    assert.ok(refused > 0 && acknowledged.length > 1, 'the disk ran full amid the writes')
    assert.equal((await idsIn(other)).toSorted(), acknowledged.toSorted())
    await other.kill()
  }
  await using reopened = await openSqlite(path, longWaitMs)
  const { runs } = await reopened.store.listRuns({ pageSize })
  assert.equal(runs.map(({ id }) => id).toSorted(), acknowledged.toSorted())
  assert.is((await reopened.store.stats(start)).conservation.lost, 0)
})

limitedTest('a store can be closed while the disk is full, and keeps all acknowledged writes', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const runs = Array.from({ length: 20 }, () => runOf({ jobs: [jobOf({ input })] }))
  {
    await using other = await startStoreProcess(path)
    for (const run of runs) await other.call('accept', run, start)
    // What the log holds cannot be copied into the database file.
    limitFileSize(other.pid, 8_192)
    await rejects(other.call('accept', runOf(), start), 'store-unavailable')
    await other.call('close')
    await rejects(other.call('stats', start), 'store-unavailable')
  }
  await using reopened = await openSqlite(path, longWaitMs)
  assert.equal(
    (await reopened.store.listRuns({ pageSize })).runs.map(({ id }) => id).toReversed(),
    runs.map(({ id }) => id),
  )
})

limitedTest('operations that write nothing do not show that the disk is writable', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using other = await startStoreProcess(path)
  fillDisk(path, other, 0)
  assert.is(await other.call('cancel', runOf().id, null, start), 'not-found')
  assert.is((await other.call('claim', requestAt(start))).jobs.length, 0)
  await rejects(other.call('checkWritable'), 'store-unavailable')
  limitFileSize(other.pid, 'unlimited')
  await other.call('checkWritable')
})

limitedTest(
  'an idle store writes one page to see that it can write, and after a failure as much as a run takes',
  async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'runs.db')
    await using other = await startStoreProcess(path)
    const logSize = (): number => statSync(`${path}-wal`).size
    const before = logSize()
    await other.call('checkWritable')
    const written = logSize() - before
    assert.ok(written > 0 && written < 10_000, `${written} bytes`)
    fillDisk(path, other, 30_000)
    await rejects(
      other.call('accept', runOf({ jobs: [jobOf({ input: input.repeat(2) })] }), start),
      'store-unavailable',
    )
    for (let round = 0; round < 3; round += 1) await rejects(other.call('checkWritable'), 'store-unavailable')
    limitFileSize(other.pid, 'unlimited')
    await other.call('checkWritable')
  },
)

test.run()
