import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decideAnswer, respondModes, type RespondMode } from '../../src/domain/run.ts'
import type { JobError, JobState } from '../../src/domain/job.ts'

interface Situation {
  readonly index: number
  readonly state: JobState
  readonly open: number
  readonly failed?: number
  readonly cancelled?: number
  /** The own status of the error. */
  readonly status?: number
}

/** Decides for a run of three jobs; null or job index and status. */
function decide(mode: RespondMode, situation: Situation): [number | null, number] | null {
  const { index, state, open, failed = 0, cancelled = 0, status } = situation
  const plain: JobError = { code: 'task_error', message: 'no' }
  const error = state === 'failed' ? { ...plain, ...(status !== undefined && { status }) } : null
  const answer = decideAnswer(mode, { open, failed, cancelled }, { index, state, error })
  if (answer === null) return null
  assert.is(answer.mode, mode)
  return [answer.jobIndex, answer.status]
}

const table: readonly (readonly [RespondMode, Situation, [number | null, number] | null])[] = [
  ['first', { index: 0, state: 'completed', open: 2 }, [0, 200]],
  ['first', { index: 0, state: 'failed', open: 2, failed: 1 }, [0, 500]],
  ['first', { index: 0, state: 'failed', open: 2, failed: 1, status: 409 }, [0, 409]],
  ['first', { index: 0, state: 'cancelled', open: 2, cancelled: 1 }, [0, 500]],
  ['first', { index: 1, state: 'completed', open: 2 }, null],
  ['first', { index: 2, state: 'failed', open: 0, failed: 3 }, null],
  ['race', { index: 2, state: 'completed', open: 2 }, [2, 200]],
  ['race', { index: 1, state: 'failed', open: 2, failed: 1 }, [1, 500]],
  ['race', { index: 1, state: 'failed', open: 2, failed: 1, status: 404 }, [1, 404]],
  ['race', { index: 1, state: 'cancelled', open: 2, cancelled: 1 }, [1, 500]],
  ['any', { index: 2, state: 'completed', open: 0, failed: 2 }, [2, 200]],
  ['any', { index: 0, state: 'failed', open: 1, failed: 2, status: 404 }, null],
  ['any', { index: 0, state: 'failed', open: 0, failed: 3, status: 404 }, [null, 500]],
  ['any', { index: 0, state: 'cancelled', open: 0, failed: 1, cancelled: 2 }, [null, 500]],
  ['all', { index: 0, state: 'completed', open: 1 }, null],
  ['all', { index: 0, state: 'failed', open: 1, failed: 1 }, null],
  ['all', { index: 0, state: 'completed', open: 0 }, [null, 200]],
  ['all', { index: 0, state: 'completed', open: 0, failed: 1 }, [null, 500]],
  ['all', { index: 0, state: 'completed', open: 0, cancelled: 1 }, [null, 500]],
  ['all', { index: 0, state: 'failed', open: 0, failed: 1, status: 404 }, [null, 500]],
  ['none', { index: 0, state: 'completed', open: 0 }, null],
  ['none', { index: 0, state: 'failed', open: 0, failed: 3 }, null],
]

test('each mode decides the answer by its own rule', () => {
  for (const [mode, situation, expected] of table) {
    assert.equal(decide(mode, situation), expected, `${mode}: ${JSON.stringify(situation)}`)
  }
})

test('a job that is not final decides nothing', () => {
  for (const mode of respondModes) {
    for (const state of ['queued', 'running', 'retrying'] as const) {
      assert.is(decide(mode, { index: 0, state, open: 3 }), null, `${mode}: ${state}`)
    }
  }
})

test('only a status of the error itself that asks nothing of a client becomes that of the answer', () => {
  const statusOf = (status: number) => decide('first', { index: 0, state: 'failed', open: 2, failed: 1, status })?.[1]
  const own = [400, 402, 403, 404, 409, 410, 418, 422, 423, 424, 451]
  const of4xx = Array.from({ length: 100 }, (_, index) => 400 + index)
  assert.equal(
    of4xx.filter((status) => statusOf(status) === status),
    own,
  )
  for (const status of of4xx.filter((each) => !own.includes(each))) assert.is(statusOf(status), 500)
  for (const status of [200, 302, 399, 404.5, 500, 503, 0, -404, Number.NaN, Infinity]) assert.is(statusOf(status), 500)
})

test.run()
