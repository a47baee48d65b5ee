/** forerunner run: runs tasks and shows the answer, or with --watch everything until the end. */
import type { RunInput } from '../client/client.ts'
import { respondModes, type RespondMode } from '../domain/answer.ts'
import { Option } from 'commander'
import type { AddCommand, Context } from './context.ts'
import { exitCodes } from './exit-code.ts'
import { readJson } from './read-json.ts'
import { runLines } from './run-lines.ts'
import { print, printJson } from './terminal.ts'
import { watchRun } from './watch.ts'

interface RunOptions {
  readonly input?: string
  readonly watch?: true
  readonly tag?: string[]
  readonly respond?: RespondMode
}

export const addRun: AddCommand = (program, act) => {
  program
    .command('run')
    .description('run tasks; exit code 1 when the first fails, or with --watch when the run does not complete')
    .argument('<task...>', 'the first answers, the others go on')
    .option('--input <file>', 'JSON for each of the tasks; - for standard input')
    .option('--watch', 'follow the run until it ends; its first task then runs in a worker thread, too')
    .option('--tag <tag...>', 'of the run')
    .addOption(new Option('--respond <mode>', 'what the answer is').choices(respondModes))
    .action(
      act(async (context: Context, tasks: string[], options: RunOptions) => {
        const request = await requestOf(tasks, options)
        const { client, isJson, glyphs } = context
        if (options.watch === true) return watchRun(context, (await client.enqueue(request)).id)
        const run = await client.runTasks(request)
        if (isJson) printJson(run)
        else {
          for (const line of runLines(run, { glyphs })) print(line)
          const result = run.results ?? run.result
          if (result !== undefined) print(JSON.stringify(result, null, 2))
        }
        return exitCodes.done
      }),
    )
}

async function requestOf(names: readonly string[], { input, tag, respond }: RunOptions): Promise<RunInput> {
  const given = input === undefined ? {} : { input: await readJson(input) }
  return {
    tasks: names.map((name) => ({ name, ...given })),
    ...(tag !== undefined && { tags: tag }),
    ...(respond !== undefined && { respond }),
  }
}
