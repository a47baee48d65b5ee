/** Completions are settled in one statement: what it makes of rows is what the rule makes of them, step by step. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { respondModes } from '../../src/domain/answer.ts'
import type { ClaimedJob } from '../../src/domain/claim.ts'
import { movedJob, movedRun } from '../../src/store/postgres/moves.ts'
import type { JobRow, RunRow } from '../../src/store/postgres/rows.ts'
import { makeSchema, type Schema } from '../harness/postgres.ts'
import { createRandom } from '../harness/random.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'

const runs = 60
const maxJobs = 5
const waves = 3

interface Rows {
  readonly runs: Map<string, RunRow>
  readonly jobs: Map<string, JobRow>
}

const nameOf = (runId: string, jobIndex: number): string => `${runId}/${jobIndex}`

async function readRows(schema: Schema): Promise<Rows> {
  // Instants come as texts from here, and are far below 2^53.
  const whole = (rows: Record<string, unknown>[]): Record<string, unknown>[] =>
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [
          name,
          name.endsWith('_at') && value !== null ? Number(value) : value,
        ]),
      ),
    )
  const [runRows, jobRows] = await Promise.all([
    schema.query<Record<string, unknown>>('SELECT * FROM run'),
    schema.query<Record<string, unknown>>('SELECT * FROM job'),
  ])
  return {
    runs: new Map((whole(runRows) as unknown as RunRow[]).map((run) => [run.id, run])),
    jobs: new Map((whole(jobRows) as unknown as JobRow[]).map((job) => [nameOf(job.run_id, job.job_index), job])),
  }
}

/** Applies the rule to the rows, one completion after the other. */
function apply(rows: Rows, { runId, jobIndex }: ClaimedJob, result: string, at: number): void {
  const name = nameOf(runId, jobIndex)
  const [run, job] = [rows.runs.get(runId), rows.jobs.get(name)]
  if (run === undefined || job === undefined) throw new Error(`there is no job ${name}`)
  const move = { to: 'completed', result } as const
  rows.runs.set(runId, { ...run, ...movedRun(run, job, move, at) })
  // Whoever owned it does so no longer, of which rows in common know nothing.
  const unowned: object = { owner: null }
  rows.jobs.set(name, { ...job, ...movedJob(job, move, at), ...unowned })
}

test('whatever a run waits for, and whatever became of its other jobs', async () => {
  await using schema = await makeSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  const random = createRandom(7)
  const pick = <Value>(values: readonly Value[]): Value => values[random.whole(0, values.length - 1)] as Value
  const made = Array.from({ length: runs }, (_, index) =>
    runOf({
      respond: respondModes[index % respondModes.length] ?? 'first',
      jobs: Array.from({ length: random.whole(1, maxJobs) }, () => jobOf()),
    }),
  )
  await Promise.all(made.map((run) => store.accept(run, start)))
  const slots = [{ thread: 'worker-1', kind: 'io', count: runs * maxJobs }] as const
  let { jobs: open } = await store.claim(requestAt(start, { slots }))
  for (let wave = 0; wave < waves; wave += 1) {
    const [ending, rest] = [open.filter(() => random.chance(0.2)), [] as ClaimedJob[]]
    for (const job of open) if (!ending.includes(job)) rest.push(job)
    await Promise.all(
      ending.map((job) =>
        random.chance(0.5)
          ? store.fail(job, taskError, null, start + wave)
          : store.cancel(job.runId, job.jobIndex, start),
      ),
    )
    const expected = await readRows(schema)
    // In any order, and at instants that do not follow it.
    const completing = rest.filter(() => wave === waves - 1 || random.chance(0.5)).toSorted(() => pick([-1, 1]))
    const settled = completing.map((job, index) => {
      const [result, at] = [JSON.stringify(`"${index}\\\0`), start + random.whole(1, 1_000)]
      apply(expected, job, result, at)
      return store.complete(job, result, at)
    })
    assert.ok((await Promise.all(settled)).every((one) => one === 'settled'))
    assert.equal(await readRows(schema), expected)
    open = rest.filter((job) => !completing.includes(job))
  }
  const { conservation, runs: runTotals, jobs: jobTotals } = await store.stats(start)
  assert.equal([conservation.live, conservation.lost], [0, 0])
  const rows = await readRows(schema)
  for (const [totals, of] of [
    [runTotals, rows.runs],
    [jobTotals, rows.jobs],
  ] as const) {
    const states = [...of.values()].map(({ state }) => state as string)
    assert.equal(
      totals,
      Object.fromEntries(Object.keys(totals).map((name) => [name, states.filter((one) => one === name).length])),
    )
  }
})

test.run()
