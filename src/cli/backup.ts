/** forerunner backup and restore: copy the database of a running service, and put such a copy in its place. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { type AddCommand, type Context, exitCodes, UsageError } from './context.ts'
import { endWithSignals, print, printJson, whileWorking, clean, complain, confirm, isInteractive } from './terminal.ts'
import { isPostgres, readConfig } from '../config.ts'

export const addBackup: AddCommand = (program, act) => {
  program
    .command('backup')
    .description('copy the database in DATABASE_URL, of a running service too, and read the copy back')
    .argument('<file>', 'to write')
    .option('--yes', 'overwrite the file without asking')
    .action(
      act(async (context: Context, to: string, { yes }: { readonly yes?: true }) => {
        const file = databaseFileOf(context)
        if (!existsSync(file)) throw new Error(`there is no database ${file}: DATABASE_URL names it, on its machine`)
        checkTarget(file, to)
        if (!(await mayReplace(to, 'overwrite', yes === true, context.isJson))) return exitCodes.failed
        endWithSignals()
        const { backUp, ownerOf } = await import('../database-file.ts')
        const owner = await ownerOf(file)
        const { bytes, runs, unreadable } = await whileWorking(`copying ${file}`, () => backUp(file, to))
        if (context.isJson) printJson({ database: file, file: resolve(to), owner, bytes, runs, unreadable })
        else {
          print(`wrote ${to}: ${sizeText(bytes)}, ${runsText(runs)}`)
          if (owner !== null) print(`source: ${file}, in use by ${owner}`)
        }
        complainOf(unreadable)
        return unreadable.length === 0 ? exitCodes.done : exitCodes.failed
      }),
    )
}

/** What belongs to a database, there or not. */
const endings = ['', '-wal', '-shm', '-journal', '-owner']

/** @throws UsageError where no copy can be put */
function checkTarget(file: string, to: string): void {
  const directory = dirname(resolve(to))
  if (!existsSync(directory)) throw new UsageError(`there is no directory ${directory}`)
  if (existsSync(to) && !statSync(to).isFile()) throw new UsageError(`${to} is no file`)
  const target = existsSync(to) ? realpathSync(to) : join(realpathSync(directory), basename(to))
  const own = realpathSync(file)
  if (endings.some((ending) => target === own + ending)) throw new UsageError(`${to} belongs to the database itself`)
}

/** The file that `DATABASE_URL` names, on this machine. @throws UsageError where it is not a file */
function databaseFileOf({ environment }: Context): string {
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
async function mayReplace(
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
function complainOf(unreadable: readonly string[]): void {
  for (const line of unreadable) complain(`cannot be read: ${clean(line)}`)
}

function sizeText(bytes: number): string {
  const mib = 1024 * 1024
  return bytes < mib ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / mib).toFixed(1)} MiB`
}

function runsText(runs: number | null): string {
  if (runs === null) return 'written by an older version, so its runs were not read'
  return runs === 1 ? '1 run, read back' : `${runs} runs, all read back`
}

export const addRestore: AddCommand = (program, act) => {
  program
    .command('restore')
    .description('check a backup, and put it in the place of the database in DATABASE_URL; what was there is kept')
    .argument('<file>', 'that backup has written; it stays')
    .option('--yes', 'replace the database without asking')
    .action(
      act(async (context: Context, backup: string, { yes }: { readonly yes?: true }) => {
        const file = databaseFileOf(context)
        if (!existsSync(backup) || !statSync(backup).isFile()) throw new UsageError(`there is no file ${backup}`)
        if (existsSync(file) && realpathSync(file) === realpathSync(backup)) {
          throw new UsageError(`${backup} is the database itself`)
        }
        const { ownerOf, restore } = await import('../database-file.ts')
        const owner = await ownerOf(file)
        if (owner !== null) throw new Error(`${owner} has ${file} open; stop it first`)
        if (!(await mayReplace(file, 'replace', yes === true, context.isJson))) return exitCodes.failed
        endWithSignals()
        const { bytes, runs, unreadable, kept } = await whileWorking(`reading ${backup}`, () => restore(backup, file))
        if (context.isJson) printJson({ database: file, file: backup, bytes, runs, unreadable, kept })
        else {
          print(`restored ${file} from ${backup}: ${sizeText(bytes)}, ${runsText(runs)}`)
          if (kept !== null) print(`what was there is now ${kept}`)
        }
        complainOf(unreadable)
        return unreadable.length === 0 ? exitCodes.done : exitCodes.failed
      }),
    )
}
