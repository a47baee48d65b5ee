/** Reads the JSON of the service's responses, with the types of the contract. */
import type { ProblemDocument } from '../../src/http/problem.ts'
import type { JobView } from '../../src/http/views/job.ts'
import type { RunPageView, RunView } from '../../src/http/views/run.ts'
import type { StatsView } from '../../src/http/views/stats.ts'

/** A service in this process, or in a separate one. */
interface Asked {
  get(path: string, headers?: Record<string, string>): Promise<Response>
}

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

export async function listRuns(
  service: Asked,
  query = '',
  headers?: Record<string, string>,
): Promise<readonly RunView[]> {
  return ((await (await service.get(`/runs${query}`, headers)).json()) as RunPageView).runs
}

export async function readStats(service: Asked): Promise<StatsView> {
  return (await (await service.get('/stats')).json()) as StatsView
}

/** All runs of the service. */
export async function countJobs(service: Asked): Promise<number> {
  return (await listRuns(service, '?pageSize=500')).reduce((sum, { jobs }) => sum + jobs.length, 0)
}
