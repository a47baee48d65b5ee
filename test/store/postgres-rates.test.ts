/** Rates of tasks over several processes, which claim at the same time and have clocks of their own. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { jobIn, jobOf, requestAt, runOf } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const rate = { limit: 4, perMs: 200 }
const slots = [{ thread: 'worker-1', kind: 'io', count: 2 }] as const

const claim = async (store: Store) => (await store.claim(requestAt(Date.now(), { slots, rates: { echo: rate } }))).jobs

test('two processes that claim at once start no more jobs in any window than one may', async () => {
  await using schema = await lendSchema()
  await using one = await openPostgres(schema)
  await using other = await openPostgres(schema)
  const run = runOf({ jobs: Array.from({ length: 14 }, () => jobOf()) })
  await one.store.accept(run, Date.now())
  const claimed = new Map<number, number>()
  await until('all have started', async () => {
    const jobs = (await Promise.all([claim(one.store), claim(other.store), claim(one.store)])).flat()
    for (const { jobIndex } of jobs) claimed.set(jobIndex, (await jobIn(one.store, run.id, jobIndex)).startedAt ?? 0)
    return claimed.size === 14
  })
  const instants = [...claimed.values()].toSorted((first, second) => first - second)
  for (const [index, at] of instants.entries()) {
    assert.ok(at - (instants[index - rate.limit] ?? -Infinity) >= rate.perMs, instants.join(' '))
  }
  const rows = await schema.query<{ starts: number }>('SELECT starts FROM task_start')
  assert.ok(rows.length < 14, 'what no window has any more is forgotten')
})

test('a start that was stored by a fast clock delays jobs for one window at most', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  const hour = 3_600_000
  await schema.query('INSERT INTO task_start VALUES ($1, $2, 4, $3)', [
    'echo',
    Date.now() + hour,
    Date.now() + 2 * hour,
  ])
  const begunAt = Date.now()
  await opened.store.accept(runOf(), begunAt)
  assert.equal(await claim(opened.store), [])
  await until('the job starts', async () => (await claim(opened.store)).length === 1)
  assert.ok(Date.now() - begunAt < hour)
})

test.run()
