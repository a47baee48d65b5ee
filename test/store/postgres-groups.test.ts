/** How much travels in one transaction: a statement has to end in its time, and what is small does not wait for all of it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { jobOf, requestAt, runOf, start } from '../harness/store-run.ts'

test('large texts that come together are written in several transactions, in the order in which they came', async () => {
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

test.run()
