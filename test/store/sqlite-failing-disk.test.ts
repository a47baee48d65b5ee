/** A disk whose `fsync` fails: a refused write is gone after a crash, although the log may have held it. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rejects } from '../harness/rejects.ts'
import { startStoreProcess } from '../harness/store-process.ts'
import { runOf, start } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

/** Has every sync of a file fail in the process, until the scope ends; null where this system does not allow it. */
async function failSyncs(pid: number): Promise<AsyncDisposable | null> {
  const inject = ['-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:error=EIO']
  const tracer = spawn('strace', ['-f', '-p', String(pid), ...inject], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(tracer, 'exit')
  for await (const line of createInterface({ input: tracer.stderr })) {
    if (!line.includes('attached')) break
    tracer.stderr.resume()
    return {
      async [Symbol.asyncDispose]() {
        tracer.kill('SIGINT')
        await ended
      },
    }
  }
  return null
}

const hasTracer = spawnSync('strace', ['-V']).status === 0
if (!hasTracer) console.log('skipped: there is no strace to have syncs fail with')
const tracedTest = hasTracer ? test : test.skip

tracedTest('a run that was refused for a failed sync is not there after a crash, nor counted before', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const kept = runOf()
  const refused = [runOf(), runOf({ tags: ['large'.repeat(2_000)] })]
  const late = runOf()
  {
    await using other = await startStoreProcess(path)
    await other.call('accept', kept, start)
    {
      await using failing = await failSyncs(other.pid)
      if (failing === null) return console.log('skipped: this system does not let a process be traced')
      for (const run of refused) await rejects(other.call('accept', run, start), 'store-unavailable')
      await rejects(other.call('checkWritable'), 'store-unavailable')
    }
    await other.kill()
  }
  {
    await using other = await startStoreProcess(path)
    for (const run of refused) assert.is(await other.call('getRun', run.id), null)
    {
      await using failing = await failSyncs(other.pid)
      assert.ok(failing)
      await rejects(other.call('accept', late, start), 'store-unavailable')
    }
    await other.call('checkWritable')
    await other.call('accept', late, start)
    await other.kill()
  }
  await using reopened = await openSqlite(path)
  const { runs } = await reopened.store.listRuns({ pageSize: 10 })
  assert.equal(
    runs.map(({ id }) => id),
    [late.id, kept.id],
  )
  assert.equal((await reopened.store.stats(start)).conservation, { accepted: 2, final: 0, live: 2, lost: 0 })
})

test.run()
