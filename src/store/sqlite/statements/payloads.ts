/** What is kept outside the record of a run: texts that are too large for it, and the steps of jobs, a row each. */
import type { DatabaseSync } from 'node:sqlite'
import { firstOfEachName, type Step, stepsPerPage } from '../../../domain/claim.ts'
import type { StepRecord } from '../../../domain/job.ts'
import type { Apart, Job } from '../../../domain/run/aggregate.ts'
import { type ApartChange, isApart, setApart } from '../../apart.ts'
import { stepPage } from '../../rows.ts'
import { prepareSelect } from '../connection/node-sqlite.ts'

export type Payloads = ReturnType<typeof createPayloads>

/** A run is named by the key of its record, and a job by its index. */
export function createPayloads(database: DatabaseSync) {
  const insert = database.prepare('INSERT OR REPLACE INTO payload (run, job, part, value) VALUES (?, ?, ?, ?)')
  const remove = database.prepare('DELETE FROM payload WHERE run = ? AND job = ? AND part = ?')
  const removeAll = database.prepare('DELETE FROM payload WHERE run = ?')
  const selectBeginning = database.prepare(
    'SELECT substr(value, 1, ?) AS value FROM payload WHERE run = ? AND job = ? AND part = ?',
  )
  const selectOne = database.prepare('SELECT value FROM payload WHERE run = ? AND job = ? AND part = ?')

  function text(key: number, index: number, { part }: Apart): string {
    const value = selectOne.get(key, index, part)?.['value']
    if (typeof value !== 'string') throw new Error(`the text ${part} of job ${index} is gone`)
    return value
  }

  return {
    text,
    /** The first `length` characters of the text. */
    beginning: (key: number, index: number, { part }: Apart, length: number) =>
      String(selectBeginning.get(length, key, index, part)?.['value'] ?? ''),
    input: (key: number, index: number, { input }: Job) => (isApart(input) ? text(key, index, input) : input),
    result: (key: number, index: number, { result }: Job) => (isApart(result) ? text(key, index, result) : result),
    /** Moves large new texts of the job to the table. @returns the job for the record */
    setApart: (key: number, index: number, job: Job, change: ApartChange) =>
      setApart(job, change, {
        put: (part, value) => void insert.run(key, index, part, value),
        drop: (part) => void remove.run(key, index, part),
      }),
    removeRun: (key: number) => void removeAll.run(key),
  }
}

export function createSteps(database: DatabaseSync) {
  const insert = database.prepare(
    'INSERT INTO step (run, job, place, name, finished_at, value) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const selectAll = prepareSelect<StepRecord>(
    database,
    'SELECT name, finished_at AS finishedAt FROM step WHERE run = ? AND job = ? ORDER BY place',
  )
  const selectFrom = prepareSelect<Record<'place' | 'name' | 'value', unknown>>(
    database,
    `SELECT place, name, value FROM step WHERE run = ? AND job = ? AND place >= ? ORDER BY place LIMIT ${stepsPerPage}`,
  )
  const remove = database.prepare('DELETE FROM step WHERE run = ? AND job = ?')
  const removeAll = database.prepare('DELETE FROM step WHERE run = ?')

  return {
    /** @param position 0 for the first step of the job */
    add: (key: number, index: number, position: number, { name, value }: Step, at: number) =>
      void insert.run(key, index, position, name, at, value),
    list: (key: number, index: number) => firstOfEachName(selectAll(key, index)),
    page: (key: number, index: number, from: number) => stepPage(selectFrom(key, index, from)),
    removeJob: (key: number, index: number) => void remove.run(key, index),
    removeRun: (key: number) => void removeAll.run(key),
  }
}
