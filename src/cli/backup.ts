/** forerunner backup: copies the database, beside a service that goes on, and reads the copy back. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { AddCommand, Context } from './context.ts'
import { complainOf, databaseFileOf, mayReplace, runsText, sizeText } from './database.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { endWithSignals, print, printJson, whileWorking } from './terminal.ts'

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
