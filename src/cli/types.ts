/** forerunner types: writes which tasks there are as a declaration, for `createClient<Tasks>` and `createForerunner<Tasks>`. */
import { messageOf } from '../domain/errors.ts'
import { writeFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { readConfig } from '../config.ts'
import { listTaskFiles, type TaskFile } from '../tasks/registry.ts'
import type { AddCommand, Context } from './context.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { print, printJson } from './terminal.ts'

const standardFile = 'forerunner-tasks.d.ts'

export const addTypes: AddCommand = (program, act) => {
  program
    .command('types')
    .description('write the types of the tasks in TASKS_DIR, for createClient<Tasks>')
    .option('--out <file>', 'to write', standardFile)
    .action(
      act(async ({ environment, isJson }: Context, { out }: { readonly out: string }) => {
        const { tasksDir } = readConfig(environment)
        const { tasks } = await listTaskFiles(tasksDir)
        const file = resolve(out)
        await write(file, declarationOf(tasks, dirname(file)))
        if (isJson) printJson({ file, tasks: tasks.map(({ name }) => name) })
        else print(`wrote the types of ${tasks.length === 1 ? '1 task' : `${tasks.length} tasks`} to ${out}`)
        return exitCodes.done
      }),
    )
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (error) {
    throw new UsageError(`the types cannot be written: ${messageOf(error)}`)
  }
}

function declarationOf(tasks: readonly TaskFile[], directory: string): string {
  const members = tasks.map(({ name, path }) => {
    const address = `./${relative(directory, path).replaceAll(sep, '/')}`.replace(/^\.\/\.\.\//, '../')
    return `  ${JSON.stringify(name)}: typeof import(${JSON.stringify(address)}).default\n`
  })
  return `// Written by "forerunner types": write it again when a task is added, renamed or removed.\nexport type Tasks = {\n${members.join('')}}\n`
}
