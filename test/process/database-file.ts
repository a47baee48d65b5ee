/** Reads the database of a process that is gone, from a copy, so that what the next one finds is as the last left it. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface StoredRun {
  readonly id: string
  readonly state: string
  readonly answerStatus: number | null
}

export interface StoredJob {
  readonly runId: string
  readonly jobIndex: number
  readonly state: string
  readonly attempt: number
  readonly lostStarts: number
  readonly result: string | null
  readonly error: string | null
  readonly failures: string
  readonly input: string | null
}

export interface StoredRows {
  readonly runs: readonly StoredRun[]
  readonly jobs: readonly StoredJob[]
}

export function readDatabase(path: string): StoredRows {
  const directory = mkdtempSync(join(tmpdir(), 'forerunner-copy-'))
  try {
    const copy = join(directory, 'copy.db')
    for (const suffix of ['', '-wal']) {
      if (existsSync(`${path}${suffix}`)) copyFileSync(`${path}${suffix}`, `${copy}${suffix}`)
    }
    using database = new DatabaseSync(copy)
    // The columns are named as the members of the two interfaces.
    const runs = database.prepare('SELECT id, state, answer_status AS answerStatus FROM run').all()
    const jobs = database
      .prepare(
        `SELECT run_id AS runId, job_index AS jobIndex, state, attempt, lost_starts AS lostStarts, result, error,
           failures, input
         FROM job ORDER BY run_id, job_index`,
      )
      .all()
    return { runs: runs as unknown as StoredRun[], jobs: jobs as unknown as StoredJob[] }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
