/** forerunner restore: puts a backup in the place of the database, which no service may have open. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import type { AddCommand, Context } from './context.ts'
import { complainOf, databaseFileOf, mayReplace, runsText, sizeText } from './database.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { endWithSignals, print, printJson, whileWorking } from './terminal.ts'

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
