/** In which order a claim takes jobs of one kind. */
import * as assert from 'uvu/assert'
import type { Store } from '../../../src/store/store.ts'
import { claimOne, jobOf, requestAt, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function claimOrderContract(register: Register): void {
  register('a higher priority starts first, whatever was accepted before', async ({ store }) => {
    const priorities = [3, 9, 0, 1, 8, 2, 7, 4, 6, 5]
    for (const [index, priority] of priorities.entries()) {
      await store.accept(runOf({ jobs: [jobOf({ task: `p${priority}`, priority })] }), start + index)
    }
    assert.equal(await takeAll(store, 3, start + 100), ['p9', 'p8', 'p7', 'p6', 'p5', 'p4', 'p3', 'p2', 'p1', 'p0'])
  })

  register('of one priority the job that is due first goes first, not the one accepted first', async ({ store }) => {
    await store.accept(runOf({ jobs: [jobOf({ task: 'late', delayMs: 300 })] }), start)
    await store.accept(runOf({ jobs: [jobOf({ task: 'middle', delayMs: 100 })] }), start + 100)
    await store.accept(runOf({ jobs: [jobOf({ task: 'early' })] }), start + 150)
    assert.equal(await takeAll(store, 1, start + 1_000), ['early', 'middle', 'late'])
  })

  register('jobs that are due at once go in the order in which they were accepted', async ({ store }) => {
    const names = Array.from({ length: 40 }, (_, index) => `t${index}`)
    for (let index = 0; index < names.length; index += 4) {
      await store.accept(runOf({ jobs: names.slice(index, index + 4).map((task) => jobOf({ task })) }), start)
    }
    assert.equal(await takeAll(store, 7, start), names)
  })

  register('a job that waits says how many are claimed before it', async ({ store }) => {
    const runs = [
      runOf({ jobs: [jobOf({ task: 'a' }), jobOf({ task: 'b' })] }),
      runOf({ jobs: [jobOf({ task: 'high', priority: 9 })] }),
      runOf({ jobs: [jobOf({ task: 'later', delayMs: 500 })] }),
      runOf({ jobs: [jobOf({ task: 'other', kind: 'cpu', priority: 9 })] }),
      runOf({ jobs: [jobOf({ task: 'a' })] }),
    ]
    for (const [index, run] of runs.entries()) await store.accept(run, start + index)
    const ahead = (nth: number, job = 0): Promise<number | null> => {
      return store.countAhead(runs[nth]?.id ?? '', job, start + 100)
    }
    assert.equal(await Promise.all([ahead(0), ahead(0, 1), ahead(1), ahead(2), ahead(3), ahead(4), ahead(0, 2)]), [
      1,
      2,
      0,
      4,
      0,
      3,
      null,
    ])
    await store.setPaused('high', true)
    assert.is(await ahead(0), 0)
    await store.claim(requestAt(start + 100))
    assert.is(await ahead(0), null)
  })

  register('a job that waits for its retry goes by the time of the retry', async ({ store }) => {
    await store.accept(runOf({ jobs: [jobOf({ task: 'tried' })] }), start)
    const tried = await claimOne(store, start)
    await store.fail(tried, { code: 'task_error', message: 'no' }, start + 200, start + 10)
    await store.accept(runOf({ jobs: [jobOf({ task: 'before' })] }), start + 199)
    await store.accept(runOf({ jobs: [jobOf({ task: 'after' })] }), start + 201)
    assert.equal(await takeAll(store, 1, start + 300), ['before', 'tried', 'after'])
  })
}

/** Claims `atOnce` jobs again and again, and gives their tasks in the order in which they came. */
async function takeAll(store: Store, atOnce: number, at: number): Promise<string[]> {
  const slots = [{ thread: 'worker-1', kind: 'io', count: atOnce }] as const
  const taken: string[] = []
  for (;;) {
    const { jobs } = await store.claim(requestAt(at, { slots }))
    if (jobs.length === 0) return taken
    taken.push(...jobs.map(({ task }) => task))
  }
}
