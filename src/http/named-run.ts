/** The run and the job that a path names, and what is said where there is none. */
import { AppError } from '../domain/errors.ts'
import { isRunId } from '../domain/ids.ts'
import type { RunRecord } from '../domain/run.ts'
import type { Store } from '../store/store.ts'

export type PathParameters = Readonly<Partial<Record<'id' | 'index' | 'slug', string>>>

/** @throws AppError `run-not-found` for what can be the id of no run */
export function runIdOf({ id = '' }: PathParameters): string {
  if (!isRunId(id)) throw noSuchRun(id)
  return id
}

/** Undefined for what can be the index of no job. */
export function jobIndexOf({ index = '' }: PathParameters): number | undefined {
  return /^(?:0|[1-9]\d{0,8})$/.test(index) ? Number(index) : undefined
}

/** @throws AppError `run-not-found` */
export async function findRun(store: Pick<Store, 'getRun'>, id: string): Promise<RunRecord> {
  const run = await store.getRun(id)
  if (run === null) throw noSuchRun(id)
  return run
}

export function noSuchRun(id: string): AppError {
  return new AppError('run-not-found', `there is no run ${id}`)
}

export function noSuchJob({ id, jobs }: RunRecord, { index }: PathParameters): AppError {
  const detail = `the run has ${jobs.length} jobs and no job ${index}`
  return new AppError('job-not-found', detail, { members: { runId: id } })
}
