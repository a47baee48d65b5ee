/** The database that `backup` and `restore` are about: the file that `DATABASE_URL` names, on this machine. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { isPostgres, readConfig } from '../config.ts'
import type { Context } from './context.ts'
import { UsageError } from './exit-code.ts'
import { clean, complain, confirm, isInteractive } from './terminal.ts'

/** @throws UsageError where it is not a file */
export function databaseFileOf({ environment }: Context): string {
  const { databaseUrl } = readConfig({ DATABASE_URL: environment['DATABASE_URL'] })
  if (isPostgres(databaseUrl)) throw new UsageError('this is for SQLite; PostgreSQL has pg_dump and pg_restore')
  const path = databaseUrl.slice('sqlite:'.length)
  if (path === ':memory:') throw new UsageError('DATABASE_URL is sqlite::memory:, and nothing of that is kept')
  return resolve(path)
}

const replacements = {
  overwrite: { question: 'Overwrite it?', consequence: 'overwrites it' },
  replace: {
    question: 'Replace it, and keep it under another name?',
    consequence: 'replaces it, and keeps it under another name',
  },
}

/**
 * @returns false where somebody was asked and does not want it
 * @throws UsageError where there is nobody to ask
 */
export async function mayReplace(
  file: string,
  how: keyof typeof replacements,
  isSure: boolean,
  isJson: boolean,
): Promise<boolean> {
  if (isSure || !existsSync(file)) return true
  const { question, consequence } = replacements[how]
  if (isJson || !isInteractive()) throw new UsageError(`${file} exists; --yes ${consequence}`)
  if (await confirm(`${file} exists. ${question}`)) return true
  complain('nothing was changed')
  return false
}

/** Parts of the database that cannot be read; they are copied all the same. */
export function complainOf(unreadable: readonly string[]): void {
  for (const line of unreadable) complain(`cannot be read: ${clean(line)}`)
}

export function sizeText(bytes: number): string {
  const mib = 1024 * 1024
  return bytes < mib ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / mib).toFixed(1)} MiB`
}

export function runsText(runs: number | null): string {
  if (runs === null) return 'written by an older version, so its runs were not read'
  return runs === 1 ? '1 run, read back' : `${runs} runs, all read back`
}
