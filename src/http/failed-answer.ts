/** The failure that a run's answer is, as a problem; one table of respond modes. */
import { failureStatusOf, type Answer } from '../domain/answer.ts'
import { AppError, type ProblemMembers } from '../domain/errors.ts'
import type { RunRecord } from '../domain/run.ts'
import { viewError, viewJob, type ViewOptions } from './run-view.ts'

/** Of results that nobody has asked for: the run has them. */
const maxResultBytes = 16 * 1024

/** @param answer of the run, with a status other than 200 */
export function answerProblemOf(run: RunRecord, answer: Answer, options: ViewOptions): AppError {
  const members: ProblemMembers = { runId: run.id, jobIndex: answer.jobIndex }
  const decider = answer.jobIndex === null ? undefined : run.jobs[answer.jobIndex]
  if (decider !== undefined) {
    // A job that was queued again since has no error of its own until it fails anew; one that was cancelled left none.
    const reason = decider.error ?? decider.failures.at(-1)?.error
    const error = reason === undefined ? null : viewError(reason, options.showsStacks)
    const detail = `${decider.task}: ${reason?.message ?? 'it was cancelled, and queued again since'}`
    return new AppError('first-task-failed', detail, {
      status: failureStatusOf(answer.status),
      members: { ...members, error },
    })
  }
  const jobs = run.jobs.map((job) => viewJob(run.id, job, { ...options, maxResultBytes }))
  const failed = run.jobs.filter(({ state }) => state !== 'completed')
  const code = answer.mode === 'any' ? 'all-tasks-failed' : 'tasks-failed'
  return new AppError(code, `${failed.length} of ${run.jobs.length} tasks did not succeed`, {
    members: { ...members, jobs },
  })
}
