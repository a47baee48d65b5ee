import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFinalJob, jobStates, moveJob, type JobState } from '../../src/domain/job.ts'

const allowed: Record<JobState, readonly JobState[]> = {
  queued: ['running', 'cancelled', 'failed'],
  running: ['queued', 'retrying', 'completed', 'failed', 'cancelled'],
  retrying: ['running', 'cancelled'],
  completed: [],
  failed: ['queued'],
  cancelled: ['queued', 'blocked'],
  blocked: ['queued', 'cancelled'],
}

test('of all moves of a job, the table has these and no other', () => {
  for (const from of jobStates) {
    for (const to of jobStates) {
      if (allowed[from].includes(to)) assert.is(moveJob(from, to), to, `${from} → ${to}`)
      else assert.throws(() => moveJob(from, to), undefined, `${from} → ${to}`)
    }
  }
})

test('a job is final when it completed, failed or was cancelled', () => {
  assert.equal(jobStates.filter(isFinalJob), ['completed', 'failed', 'cancelled'])
})

test.run()
