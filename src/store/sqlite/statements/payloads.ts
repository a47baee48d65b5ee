/** Texts that are too large for the record of their run. */
import type { DatabaseSync } from 'node:sqlite'
import type { Apart, Job } from '../../../domain/run/aggregate.ts'
import { isApart, setApart } from '../../apart.ts'

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
