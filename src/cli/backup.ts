/** forerunner backup and restore: copy the database of a running service, and replace a database by such a copy. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { isPostgres, readConfig } from '../config.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes, UsageError } from './context.ts'
import { clean, complain, confirm, exitOnSignals, isInteractive, print, printJson, whileWorking } from './terminal.ts'

interface Options {
  readonly yes?: boolean
}

export const addBackup: AddCommand = (program, act) => {
  program
    .command('backup')
    .description('copy the database in DATABASE_URL, also of a running service, and check the copy')
    .argument('<file>', 'file to write')
    .option('--yes', 'overwrite the file without asking')
    .action(
      act(async (context: Context, target: string, { yes = false }: Options) => {
        const { isJson } = context
        const database = databaseFileOf(context)
        if (!existsSync(database)) {
          throw new Error(`there is no database ${database}: DATABASE_URL names it, on its machine`)
        }
        checkTarget(database, target)
        if (existsSync(target) && !yes && !(await mayReplace(target, overwriting, isJson))) return exitCodes.failed
        exitOnSignals()
        const { backUp, ownerOf } = await import('../database-file.ts')
        const owner = await ownerOf(database)
        const copied = await whileWorking(`copying ${database}`, () => backUp(database, target))
        if (isJson) printJson({ database, file: resolve(target), owner, ...copied })
        else {
          print(`wrote ${target}: ${contentText(copied)}`)
          if (owner !== null) print(`source: ${database}, in use by ${owner}`)
        }
        return endWith(copied.unreadable)
      }),
    )
}

export const addRestore: AddCommand = (program, act) => {
  program
    .command('restore')
    .description('check a backup, and replace the database in DATABASE_URL with it; the old files are kept')
    .argument('<file>', 'a file that backup has written')
    .option('--yes', 'replace the database without asking')
    .action(
      act(async (context: Context, backup: string, { yes = false }: Options) => {
        const { isJson } = context
        const database = databaseFileOf(context)
        if (!existsSync(backup) || !statSync(backup).isFile()) throw new UsageError(`there is no file ${backup}`)
        if (existsSync(database) && realpathSync(database) === realpathSync(backup)) {
          throw new UsageError(`${backup} is the database itself`)
        }
        const { ownerOf, restore } = await import('../database-file.ts')
        const owner = await ownerOf(database)
        if (owner !== null) throw new Error(`${owner} has ${database} open; stop it first`)
        if (existsSync(database) && !yes && !(await mayReplace(database, replacing, isJson))) return exitCodes.failed
        exitOnSignals()
        const restored = await whileWorking(`reading ${backup}`, () => restore(backup, database))
        if (isJson) printJson({ database, file: backup, ...restored })
        else {
          print(`restored ${database} from ${backup}: ${contentText(restored)}`)
          if (restored.kept !== null) print(`what was there is now ${restored.kept}`)
        }
        return endWith(restored.unreadable)
      }),
    )
}

/** The file that `DATABASE_URL` names. @throws UsageError if the database is not a file */
function databaseFileOf({ environment }: Context): string {
  const { databaseUrl } = readConfig({ DATABASE_URL: environment['DATABASE_URL'] })
  if (isPostgres(databaseUrl)) throw new UsageError('this is for SQLite; PostgreSQL has pg_dump and pg_restore')
  const path = databaseUrl.slice('sqlite:'.length)
  if (path === ':memory:') throw new UsageError('DATABASE_URL is sqlite::memory:, and nothing of that is kept')
  return resolve(path)
}

/** Endings of all files that a database may have. */
const endings = ['', '-wal', '-shm', '-journal', '-owner']

/** @throws UsageError if the copy cannot be written there */
function checkTarget(database: string, target: string): void {
  const directory = dirname(resolve(target))
  if (!existsSync(directory)) throw new UsageError(`there is no directory ${directory}`)
  if (existsSync(target) && !statSync(target).isFile()) throw new UsageError(`${target} is no file`)
  const realTarget = existsSync(target) ? realpathSync(target) : join(realpathSync(directory), basename(target))
  const realDatabase = realpathSync(database)
  if (endings.some((ending) => realTarget === realDatabase + ending)) {
    throw new UsageError(`${target} belongs to the database itself`)
  }
}

const overwriting = { question: 'Overwrite it?', consequence: 'overwrites it' }
const replacing = {
  question: 'Replace it, and keep it under another name?',
  consequence: 'replaces it, and keeps it under another name',
}

/** @throws UsageError if nobody can be asked */
async function mayReplace(
  file: string,
  { question, consequence }: typeof overwriting,
  isJson: boolean,
): Promise<boolean> {
  if (isJson || !isInteractive()) throw new UsageError(`${file} exists; --yes ${consequence}`)
  if (await confirm(`${file} exists. ${question}`)) return true
  complain('nothing was changed')
  return false
}

const kib = 1024
const mib = 1024 * kib

function contentText({ bytes, runs }: { readonly bytes: number; readonly runs: number | null }): string {
  const size = bytes < mib ? `${Math.ceil(bytes / kib)} KiB` : `${(bytes / mib).toFixed(1)} MiB`
  if (runs === null) return `${size}, written by an older version, so its runs were not read`
  return `${size}, ${runs === 1 ? '1 run, read back' : `${runs} runs, all read back`}`
}

/** @param unreadable parts of the database; they are copied nevertheless */
function endWith(unreadable: readonly string[]): ExitCode {
  for (const part of unreadable) complain(`cannot be read: ${clean(part)}`)
  return unreadable.length === 0 ? exitCodes.done : exitCodes.failed
}
