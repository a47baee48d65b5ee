/** forerunner run: runs tasks and shows the answer, or with --watch everything until the end. */
import { messageOf } from '../domain/errors.ts'
import type { RunInput } from '../client/client.ts'
import { respondModes, type RespondMode } from '../domain/run.ts'
import { RawJson, writeJson } from '../domain/json.ts'
import { prettyJson } from '../domain/json-places.ts'
import { Option } from 'commander'
import type { AddCommand, Context } from './context.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { runLines } from './run-lines.ts'
import { print, printJson, readInput } from './terminal.ts'
import { watchRun } from './watch.ts'
import { readFile } from 'node:fs/promises'

export interface RequestOptions {
  readonly input?: string
  readonly tag?: string[]
}

interface RunOptions extends RequestOptions {
  readonly watch?: true
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
      act(async (context: Context, tasks: string[], { watch, respond, ...options }: RunOptions) => {
        const request = { ...(await requestOf(tasks, options)), ...(respond !== undefined && { respond }) }
        const { client, isJson, glyphs } = context
        if (watch === true) return watchRun(context, (await client.enqueue(request)).id)
        const run = await client.runTasks(request)
        if (isJson) printJson(run)
        else {
          for (const line of runLines(run, { glyphs })) print(line)
          const result = run.results ?? run.result
          if (result !== undefined) print(prettyJson(writeJson(result)))
        }
        return exitCodes.done
      }),
    )
}

/** What the caller asks for: these tasks, each with the same input. */
export async function requestOf(
  names: readonly string[],
  { input, tag }: RequestOptions,
): Promise<Pick<RunInput, 'tasks' | 'tags'>> {
  const given = input === undefined ? {} : { input: await readJson(input) }
  return {
    tasks: names.map((name) => ({ name, ...given })),
    ...(tag !== undefined && { tags: tag }),
  }
}

/** JSON of a file, to be sent as it is. @param file `-` for standard input */
export async function readJson(file: string): Promise<RawJson> {
  const text = await read(file)
  try {
    return new RawJson(text, JSON.parse(text))
  } catch (error) {
    throw new UsageError(`the input is no JSON: ${messageOf(error)}`)
  }
}

async function read(file: string): Promise<string> {
  if (file === '-') return readInput()
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the input cannot be read: ${messageOf(error)}`)
  }
}
