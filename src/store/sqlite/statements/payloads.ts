/** What is kept apart from the record of a run: texts that are too large for it, and the steps of jobs, a row each. */
import type { DatabaseSync } from 'node:sqlite'
import { firstOfEachName, type Step, type StepPage, stepsPerPage } from '../../../domain/claim.ts'
import type { StepRecord } from '../../../domain/job.ts'
import type { Apart, Job } from '../../../domain/run/aggregate.ts'
import { isApart, setApart } from '../../apart.ts'
import { stepPage } from '../../rows.ts'
import { prepareSelect } from '../connection/node-sqlite.ts'

export interface Payloads {
  /** The job with what is new in it and not small moved to the table. `before` is null for a new job. */
  store(run: number, index: number, before: Job | null, job: Job, isRecordFull: boolean): Job
  input(run: number, index: number, job: Job): string | null
  result(run: number, index: number, job: Job): string | null
  text(run: number, index: number, apart: Apart): string
  /** Its first characters. */
  beginning(run: number, index: number, apart: Apart, length: number): string
  forget(run: number): void
}

export function createPayloads(database: DatabaseSync): Payloads {
  const insert = database.prepare('INSERT OR REPLACE INTO payload (run, job, part, value) VALUES (?, ?, ?, ?)')
  const remove = database.prepare('DELETE FROM payload WHERE run = ? AND job = ? AND part = ?')
  const removeAll = database.prepare('DELETE FROM payload WHERE run = ?')
  const selectBeginning = database.prepare(
    'SELECT substr(value, 1, ?) AS value FROM payload WHERE run = ? AND job = ? AND part = ?',
  )
  const selectOne = database.prepare('SELECT value FROM payload WHERE run = ? AND job = ? AND part = ?')

  function textAt(run: number, index: number, { part }: Apart): string {
    const value = selectOne.get(run, index, part)?.['value']
    if (typeof value !== 'string') throw new Error(`the text ${part} of job ${index} is gone`)
    return value
  }

  return {
    store: (run, index, before, job, isRecordFull) =>
      setApart(before, job, isRecordFull, {
        put: (part, text) => void insert.run(run, index, part, text),
        drop: (part) => void remove.run(run, index, part),
      }),
    input: (run, index, { input }) => (isApart(input) ? textAt(run, index, input) : input),
    result: (run, index, { result }) => (isApart(result) ? textAt(run, index, result) : result),
    text: textAt,
    beginning: (run, index, { part }, length) => String(selectBeginning.get(length, run, index, part)?.['value'] ?? ''),
    forget: (run) => void removeAll.run(run),
  }
}

export interface Steps {
  put(run: number, job: number, place: number, step: Step, at: number): void
  list(run: number, job: number): StepRecord[]
  page(run: number, job: number, from: number): StepPage
  /** Of one job. */
  drop(run: number, job: number): void
  /** Of all jobs of the run. */
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
