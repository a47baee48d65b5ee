/** What a caller sends and a task returns is kept to the character. */
import * as assert from 'uvu/assert'
import type { JobError } from '../../../src/domain/job.ts'
import { acceptAndClaim, claimOne, jobIn, jobOf, runIn, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const oddText =
  'nul \u0000, lone \ud800 and \udfff, \u{1f469}‍\u{1f680} e\u0301 \u2028 \u202e \ufeff \' " \\ % _ $1 ? :a'

const payloads: Record<string, string> = {
  'odd characters': JSON.stringify([oddText, { [oddText]: null }]),
  'members with special names': '{"__proto__":{"isAdmin":true},"constructor":1,"toString":null}',
  'JSON text that a parser would change': ' {"a":1.0,"a":2,"big":12345678901234567890,"e":1E400,"u":"\\u0041"} ',
  'a bare null': 'null',
  'an empty string': '""',
  'deep nesting': '['.repeat(200) + ']'.repeat(200),
  'one mebibyte': JSON.stringify('é'.repeat(524_287)),
}

export function payloadContract(register: Register): void {
  register('input and result are kept as the text that they are', async ({ store }) => {
    for (const [what, payload] of Object.entries(payloads)) {
      const run = runOf({ jobs: [jobOf({ input: payload })] })
      const claimed = await acceptAndClaim(store, run, start)
      assert.ok(claimed.input === payload, `input: ${what}`)
      await store.complete(claimed, payload, start)
      const job = await store.getJob(run.id, 0)
      assert.ok(job?.result === payload, `result: ${what}`)
      assert.equal(await store.getInput(run.id, 0), { input: payload })
    }
  })

  register('an input that was not given stays apart from one that is null', async ({ store }) => {
    assert.is((await acceptAndClaim(store, runOf({ jobs: [jobOf({ input: null })] }), start)).input, null)
    assert.is((await acceptAndClaim(store, runOf({ jobs: [jobOf({ input: 'null' })] }), start)).input, 'null')
    const { id } = runOf()
    assert.is(await store.getInput(id, 0), null)
  })

  register('the secret paths stay with the job, also after it has ended', async ({ store }) => {
    const run = runOf({ jobs: [jobOf({ input: '{"pin":"1234"}', secret: ['input.pin'] })] })
    await store.complete(await acceptAndClaim(store, run, start), '"done"', start)
    assert.equal(await store.getInput(run.id, 0), { input: '{"pin":"1234"}', secret: ['input.pin'] })
    assert.is(await store.getInput(run.id, 1), null)
    assert.equal((await jobIn(store, run.id, 0)).secret, ['input.pin'])
  })

  register('an error is kept with all its members, and so is each failure', async ({ store }) => {
    const error: JobError = {
      code: 'task_error',
      message: oddText,
      name: 'OddError',
      taskCode: 'E_ODD',
      status: 418,
      cause: { message: 'inner', taskCode: 7, cause: { message: '__proto__' } },
      exitCode: 3,
      stack: 'OddError: odd\n    at somewhere',
    }
    const run = runOf()
    await store.fail(await acceptAndClaim(store, run, start), error, start + 1, start)
    await store.fail(await claimOne(store, start + 1), error, null, start + 2)
    const job = await jobIn(store, run.id)
    assert.equal(job.error, error)
    assert.equal(job.failures, [
      { attempt: 1, startedAt: start, finishedAt: start, error },
      { attempt: 2, startedAt: start + 1, finishedAt: start + 2, error },
    ])
  })

  register('tags keep every character and can be found by it', async ({ store }) => {
    const tags = ['nul\u0000a', 'nul\u0000b', '\u{1f680}', '{"a":1}', 'null', '0', "it's 100%_", '__proto__']
    const runs = tags.map((tag) => runOf({ tags: [oddText, tag] }))
    for (const run of runs) await store.accept(run, start)
    for (const run of runs) {
      assert.equal((await runIn(store, run.id)).tags, run.tags)
      const found = await store.listRuns({ tag: run.tags[1] ?? '', pageSize: 10 })
      assert.equal(
        found.runs.map(({ id }) => id),
        [run.id],
        `found by ${JSON.stringify(run.tags[1])}`,
      )
    }
  })
}
