/** Steps of jobs: a row each, so that a job with many writes only the next one. */
import type { DatabaseSync } from 'node:sqlite'
import { firstOfEachName, type Step, type StepPage, stepsPerPage } from '../../../domain/claim.ts'
import type { StepRecord } from '../../../domain/job.ts'
import { stepPage } from '../../rows.ts'
import { prepareSelect } from '../connection/rows.ts'

export interface Steps {
  put(run: number, job: number, place: number, step: Step, at: number): void
  list(run: number, job: number): StepRecord[]
  page(run: number, job: number, from: number): StepPage
  /** Those of one job. */
  drop(run: number, job: number): void
  /** Those of all jobs of the run. */
  forget(run: number): void
}

export function createSteps(database: DatabaseSync): Steps {
  const insert = database.prepare(
    'INSERT INTO step (run, job, place, name, finished_at, value) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const selectAll = prepareSelect<StepRecord>(
    database,
    'name, finished_at AS finishedAt',
    'FROM step WHERE run = ? AND job = ? ORDER BY place',
  )
  const selectFrom = prepareSelect<Record<'place' | 'name' | 'value', unknown>>(
    database,
    'place, name, value',
    `FROM step WHERE run = ? AND job = ? AND place >= ? ORDER BY place LIMIT ${stepsPerPage}`,
  )
  const remove = database.prepare('DELETE FROM step WHERE run = ? AND job = ?')
  const removeAll = database.prepare('DELETE FROM step WHERE run = ?')

  return {
    put: (run, job, place, { name, value }, at) => void insert.run(run, job, place, name, at, value),
    list: (run, job) => firstOfEachName(selectAll(run, job)),
    page: (run, job, from) => stepPage(selectFrom(run, job, from)),
    drop: (run, job) => void remove.run(run, job),
    forget: (run) => void removeAll.run(run),
  }
}
