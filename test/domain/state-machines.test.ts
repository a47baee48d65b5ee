/** Whatever happens to the jobs of a run, in whatever order: the run's state, its answer and its counts follow from them. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decideAnswer, respondModes, type Answer, moveRun, type RunState } from '../../src/domain/run.ts'
import { isFinalJob, jobStates, moveJob, type JobState } from '../../src/domain/job.ts'

const moves = fc.array(fc.record({ job: fc.nat(3), to: fc.constantFrom(...jobStates) }), { maxLength: 60 })
const mode = fc.constantFrom(...respondModes)

function countsOf(jobs: readonly JobState[]) {
  const count = (isOne: (state: JobState) => boolean): number => jobs.filter(isOne).length
  return {
    open: count((state) => !isFinalJob(state)),
    failed: count((state) => state === 'failed'),
    cancelled: count((state) => state === 'cancelled'),
  }
}

/** Whether the table has the move. */
function canMove(from: JobState, to: JobState): boolean {
  try {
    return moveJob(from, to) === to
  } catch {
    return false
  }
}

test('a run is running while a job is unfinished, and otherwise has the state of its worst job', () => {
  fc.assert(
    fc.property(moves, mode, (steps, respond) => {
      const jobs: JobState[] = ['queued', 'queued', 'queued', 'queued']
      let run: RunState = 'running'
      const answers: Answer[] = []
      for (const { job, to } of steps) {
        const from = jobs[job] ?? 'queued'
        if (!canMove(from, to)) continue
        jobs[job] = to
        const counts = countsOf(jobs)
        // Every move that the jobs' table allows, the run's table allows too.
        run = moveRun(run, counts)
        if (counts.open > 0) assert.is(run, 'running')
        else assert.is(run, counts.failed > 0 ? 'failed' : counts.cancelled > 0 ? 'cancelled' : 'completed')
        const answer = answers.length > 0 ? null : decideAnswer(respond, counts, { index: job, state: to, error: null })
        if (answer !== null) answers.push(answer)
        check(respond, answers[0], jobs)
      }
    }),
    { numRuns: 2_000 },
  )
})

function check(respond: string, answer: Answer | undefined, jobs: readonly JobState[]): void {
  if (respond === 'none') assert.is(answer, undefined)
  // Once everything has ended, everybody who waits for an answer has one.
  else if (jobs.every(isFinalJob)) assert.ok(answer !== undefined, `${respond} has an answer: ${jobs.join(' ')}`)
  if (answer === undefined) return
  assert.is(answer.mode, respond)
  if (respond === 'first') assert.is(answer.jobIndex, 0)
  if (respond === 'any' && answer.status === 200) assert.is(jobs[answer.jobIndex ?? -1], 'completed')
}

test('a completed job never moves again, and a final one only when a retry is requested', () => {
  for (const from of jobStates.filter(isFinalJob)) {
    const next = jobStates.filter((to) => canMove(from, to))
    assert.equal(next, from === 'completed' ? [] : from === 'cancelled' ? ['queued', 'blocked'] : ['queued'])
  }
})

test.run()
