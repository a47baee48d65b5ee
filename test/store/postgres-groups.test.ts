/** The size of one transaction: its statement ends within the time limit, and small operations do not wait for many large ones. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunRecord } from '../../src/domain/run.ts'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptFirst, jobOf, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

test('large texts that arrive together are written in several transactions, in order of arrival', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  const written = async (part: number): Promise<readonly number[]> => {
    const text = `SELECT count(*)::integer AS texts FROM payload WHERE part = ${part}
      GROUP BY xmin::text::bigint ORDER BY min(run::text), min(job)`
    return (await schema.query<{ texts: number }>(text)).map(({ texts }) => texts)
  }
  const large = JSON.stringify('x'.repeat(2_000_000))
  const runs = Array.from({ length: 9 }, () => runOf({ jobs: [jobOf({ input: large })] }))
  await Promise.all(runs.map((run) => store.accept(run, start)))
  assert.equal(await written(0), [4, 4, 1])

  await store.accept(runOf({ jobs: Array.from({ length: 9 }, () => jobOf({ task: 'large' })) }), start)
  const { jobs } = await store.claim(requestAt(start))
  const held = jobs.filter(({ task }) => task === 'large')
  await Promise.all(held.map((job) => store.complete(job, large, start)))
  assert.equal(await written(1), [4, 4, 1])
})

test('the change that decides an answer carries the run, unless some of its texts are kept apart', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  const decided = new Map<string, RunRecord | null | undefined>()
  store.onChange(({ runId, isAnswered }, asCommitted) => void (isAnswered && decided.set(runId, asCommitted?.())))
  const first = (run: Parameters<typeof runOf>[0]) => acceptFirst(store, runOf({ claimsFirst: true, ...run }), start)
  const [small, large, failed, reported] = [
    await first({ jobs: [jobOf(), jobOf()] }),
    await first({}),
    await first({}),
    await first({ webhook: 'http://127.0.0.1/' }),
  ]
  const error = { code: 'task_error', message: 'no' } as const
  await Promise.all([
    store.complete(small, '1', start),
    store.complete(large, JSON.stringify('x'.repeat(1_000)), start),
    store.fail(failed, error, null, start),
    store.complete(reported, '1', start),
  ])
  await until('all answers are decided', () => decided.size === 4)
  for (const { runId } of [small, failed]) {
    assert.equal(decided.get(runId), await runIn(store, runId))
  }
  for (const { runId } of [large, reported]) assert.is(decided.get(runId), null)
})

test.run()
