/** Which jobs a claim takes: those that are due, as many as there are slots, within the limits of their tasks. */
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../../src/domain/claim.ts'
import { entryAt, jobIn, jobOf, requestAt, runIn, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function claimContract(register: Register): void {
  register('a claimed job has everything that its thread needs, and the run shows it as running', async ({ store }) => {
    const job = jobOf({ task: 'sum', kind: 'cpu', input: '[1,2]', timeoutMs: 9, maxAttempts: 4, priority: 7 })
    const run = runOf({ jobs: [job] })
    await store.accept(run, start)
    const { jobs, nextDueAt } = await store.claim(requestAt(start + 5))
    const claimed = entryAt(jobs, 0)
    assert.ok(Number.isInteger(claimed.claim))
    assert.equal(claimed, {
      runId: run.id,
      jobIndex: 0,
      claim: claimed.claim,
      task: 'sum',
      kind: 'cpu',
      input: '[1,2]',
      thread: 'worker-1',
      timeoutMs: 9,
      attempt: 1,
      maxAttempts: 4,
      lostStarts: 0,
      waitedMs: 5,
    })
    assert.is(nextDueAt, null)
    const { state, thread, attempt, startedAt, runAt, finishedAt } = await jobIn(store, run.id)
    assert.equal([state, thread, attempt], ['running', 'worker-1', 1])
    assert.equal([startedAt, runAt, finishedAt], [start + 5, null, null])
    assert.is((await runIn(store, run.id)).version, 2)
  })

  register('a job is claimed once, by successive and by concurrent claims', async ({ store }) => {
    await store.accept(runOf({ jobs: Array.from({ length: 20 }, () => jobOf()) }), start)
    const slots = [{ thread: 'worker-1', kind: 'io', count: 7 }] as const
    const atOnce = await Promise.all([1, 2].map(() => store.claim(requestAt(start, { slots }))))
    const after = await store.claim(requestAt(start, { slots }))
    const taken = [...atOnce, after].flatMap(({ jobs }) => jobs.map(({ jobIndex }) => jobIndex))
    assert.is(taken.length, 20)
    assert.is(new Set(taken).size, 20)
    assert.equal((await store.claim(requestAt(start))).jobs, [])
  })

  register('each thread gets as many jobs of its kind as it has room for', async ({ store }) => {
    const kinds = ['io', 'io', 'io', 'io', 'cpu', 'cpu', 'cpu'] as const
    await store.accept(runOf({ jobs: kinds.map((kind) => jobOf({ kind })) }), start)
    const slots = [
      { thread: 'io-1', kind: 'io', count: 2 },
      { thread: 'io-2', kind: 'io', count: 1 },
      { thread: 'cpu-1', kind: 'cpu', count: 1 },
      { thread: 'cpu-2', kind: 'cpu', count: 0 },
    ] as const
    const { jobs } = await store.claim(requestAt(start, { slots }))
    assert.equal(jobs.map(({ kind, thread }) => `${kind} on ${thread}`).toSorted(), [
      'cpu on cpu-1',
      'io on io-1',
      'io on io-1',
      'io on io-2',
    ])
    assert.is((await store.stats(start)).jobs.queued, 3)
  })

  register(
    'a job of an isolated task runs in the child process of its thread, and takes its slot',
    async ({ store }) => {
      const jobs = [jobOf({ task: 'alone', kind: 'cpu' }), jobOf({ kind: 'cpu' }), jobOf({ kind: 'cpu' })]
      await store.accept(runOf({ jobs }), start)
      const slots = [
        { thread: 'worker-1', kind: 'cpu', count: 1 },
        { thread: 'worker-2', kind: 'cpu', count: 1 },
      ] as const
      const request = requestAt(start, { slots, isolated: new Set(['alone']), taskLimits: { alone: 1 } })
      const claimed = await store.claim(request)
      assert.equal(
        claimed.jobs.map(({ thread }) => thread),
        ['process-1', 'worker-2'],
      )
    },
  )

  register('without a slot nothing is claimed', async ({ store }) => {
    const run = runOf({ jobs: [jobOf({ kind: 'cpu' })] })
    await store.accept(run, start)
    const io = [{ thread: 'worker-1', kind: 'io', count: 5 }] as const
    assert.equal((await store.claim(requestAt(start, { slots: [] }))).jobs, [])
    assert.equal((await store.claim(requestAt(start, { slots: io }))).jobs, [])
    assert.is((await runIn(store, run.id)).version, 1)
  })

  register('a task is claimed within its limit, and other tasks get the remaining slots', async ({ store }) => {
    const limited = Array.from({ length: 30 }, () => jobOf({ task: 'limited', priority: 5 }))
    const spent = Array.from({ length: 30 }, () => jobOf({ task: 'spent', priority: 9 }))
    const others = Array.from({ length: 30 }, () => jobOf({ task: 'constructor', priority: 5 }))
    await store.accept(runOf({ jobs: [...spent, ...limited, ...others, jobOf({ task: 'last' })] }), start)
    const slots = [{ thread: 'worker-1', kind: 'io', count: 33 }] as const
    const taskLimits = { limited: 2, spent: 0, overdrawn: -1 }
    const { jobs } = await store.claim(requestAt(start, { slots, taskLimits }))
    assert.equal(countByTask(jobs), { limited: 2, constructor: 30, last: 1 })
    const again = await store.claim(requestAt(start, { slots, taskLimits: { limited: 3, spent: -1 } }))
    assert.equal(countByTask(again.jobs), { limited: 3 })
  })

  register('a job waits until it is due, and the claim says when that is', async ({ store }) => {
    const jobs = [
      jobOf({ task: 'late', delayMs: 5_000, priority: 9 }),
      jobOf({ task: 'soon', delayMs: 1_000 }),
      jobOf({ task: 'cpu', kind: 'cpu', delayMs: 3_000 }),
    ]
    await store.accept(runOf({ jobs }), start)
    const expected: [number, string[], number | null][] = [
      [0, [], 1_000],
      [999, [], 1_000],
      [1_000, ['soon'], 3_000],
      [4_000, ['cpu'], 5_000],
      [5_000, ['late'], null],
      [9_000, [], null],
    ]
    for (const [afterMs, tasks, nextMs] of expected) {
      const claimed = await store.claim(requestAt(start + afterMs))
      assert.equal(
        claimed.jobs.map(({ task }) => task),
        tasks,
        `after ${afterMs} ms`,
      )
      assert.is(claimed.nextDueAt, nextMs === null ? null : start + nextMs, `after ${afterMs} ms`)
    }
  })
}

function countByTask(jobs: readonly ClaimedJob[]): Record<string, number> {
  const tasks = [...new Set(jobs.map(({ task }) => task))]
  return Object.fromEntries(tasks.map((name) => [name, jobs.filter(({ task }) => task === name).length]))
}
