import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobCounts } from '../../src/domain/job.ts'
import { moveRun, runStates, type RunState } from '../../src/domain/run.ts'

/** Job counts, and the state of a run that has them. */
const derived: readonly (readonly [JobCounts, RunState])[] = [
  [{ open: 1, failed: 0, cancelled: 0 }, 'running'],
  [{ open: 1, failed: 1, cancelled: 1 }, 'running'],
  [{ open: 0, failed: 0, cancelled: 0 }, 'completed'],
  [{ open: 0, failed: 1, cancelled: 0 }, 'failed'],
  [{ open: 0, failed: 1, cancelled: 5 }, 'failed'],
  [{ open: 0, failed: 0, cancelled: 1 }, 'cancelled'],
]

const allowed: Record<RunState, readonly RunState[]> = {
  running: ['running', 'completed', 'failed', 'cancelled'],
  failed: ['running'],
  cancelled: ['running'],
  completed: [],
}

test('a run gets the state that follows from its jobs, and only by transitions of the table', () => {
  for (const from of runStates) {
    for (const [counts, to] of derived) {
      const what = `${from} with ${JSON.stringify(counts)}`
      if (allowed[from].includes(to)) assert.is(moveRun(from, counts), to, what)
      else assert.throws(() => moveRun(from, counts), undefined, what)
    }
  }
})

test.run()
