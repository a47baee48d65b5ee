/** Reads the JSON that the service answers, in the form that the contract gives it. */
import type { ProblemDocument } from '../../src/http/views/problem.ts'
import type { JobView } from '../../src/http/views/job.ts'
import type { RunView } from '../../src/http/views/run.ts'

export async function readRun(response: Response): Promise<RunView> {
  return (await response.json()) as RunView
}

export async function readProblem(response: Response): Promise<ProblemDocument> {
  return (await response.json()) as ProblemDocument
}

export function jobAt(run: RunView, index: number): JobView {
  const job = run.jobs[index]
  if (job === undefined) throw new Error(`the run has no job ${index}`)
  return job
}
