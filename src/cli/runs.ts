/** forerunner runs and show: what there is to read about runs. */
import { prettyJson, writeJson } from '../domain/json.ts'
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { JobView, LineView, RunPageView, RunFilter } from '../client/client.ts'
import { type AddCommand, type Context, exitCodes } from './context.ts'
import { clean, complain, type Glyphs, print, printJson, styled, table } from './terminal.ts'
import { age, runLines, stateText } from './run-lines.ts'
import { runStates } from '../domain/run.ts'

const levelWidth = 'error'.length

interface ListOptions extends FilterOptions {
  readonly limit: number
}

export const addRuns: AddCommand = (program, act) => {
  withFilters(program.command('runs').description('list runs, newest first'))
    .option('--limit <number>', 'of runs, at most 500', wholeNumber, 20)
    .action(
      act(async ({ client, isJson, glyphs }: Context, { limit, ...filter }: ListOptions) => {
        const page = await client.listRuns({ ...filterOf(filter), pageSize: limit })
        if (isJson) printJson(page)
        else if (page.runs.length === 0) complain('no run matches')
        else print(listOf(page.runs, glyphs))
        return exitCodes.done
      }),
    )
}

function listOf(runs: RunPageView['runs'], { ellipsis }: Glyphs): string {
  const now = Date.now()
  const rows = runs.map(({ id, state, createdAt, jobs, tags }) => [
    id,
    stateText(state),
    age(now - Date.parse(createdAt)),
    `${jobs.filter((job) => job.finishedAt !== null).length}/${jobs.length}`,
    tasksOf(jobs),
    tags.map(clean).join(' '),
  ])
  return table(['run', 'state', 'created', 'ended', 'tasks', 'tags'], rows, ellipsis)
}

/** In the order of the jobs; a task that many of them have is named once. */
function tasksOf(jobs: RunPageView['runs'][number]['jobs']): string {
  const counts = new Map<string, number>()
  for (const { task } of jobs) counts.set(task, (counts.get(task) ?? 0) + 1)
  return [...counts].map(([task, count]) => (count === 1 ? task : `${task} ×${count}`)).join(', ')
}

export const addShow: AddCommand = (program, act) => {
  program
    .command('show')
    .description('show a run with the steps and results of its jobs')
    .argument('<id>', 'of the run')
    .option('--log', 'show what its tasks have logged, too; with --json nothing else')
    .action(
      act(async ({ client, isJson, glyphs }: Context, id: string, { log }: { readonly log?: true }) => {
        if (isJson && log === true) {
          for await (const line of client.allLines(id)) printJson(line)
          return exitCodes.done
        }
        const run = await client.getRun(id)
        if (isJson) {
          printJson(run)
          return exitCodes.done
        }
        for (const line of runLines(run, { glyphs })) print(line)
        for (const { index, steps = [] } of run.jobs) {
          if (steps.length > 0) print(`\nsteps of job ${index}:\n${stepLines(steps)}`)
        }
        for (const { index, state, result } of run.jobs) {
          if (state === 'completed') print(`\nresult of job ${index}:\n${prettyJson(writeJson(result))}`)
        }
        if (log === true) await printLog(client.allLines(id))
        return exitCodes.done
      }),
    )
}

function stepLines(steps: NonNullable<JobView['steps']>): string {
  return steps.map(({ name, finishedAt }) => `${finishedAt}  ${clean(name)}`).join('\n')
}

async function printLog(lines: AsyncIterable<LineView>): Promise<void> {
  print('\nlog:')
  let isEmpty = true
  for await (const { at, level, jobIndex, attempt, message, fields, error } of lines) {
    isEmpty = false
    const more = [fields, error].flatMap((value) => (value === undefined ? [] : JSON.stringify(value)))
    const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim'
    const head = `${at} ${styled(style, level.padEnd(levelWidth))} job ${jobIndex}, attempt ${attempt}`
    print(`${head}: ${clean([message, ...more].join(' '))}`)
  }
  if (isEmpty) print(styled('dim', 'nothing is kept of what they have logged'))
}

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}

/** The filters of runs as options, the same for a list and for a change of many. */
export interface FilterOptions {
  readonly state?: (typeof runStates)[number]
  readonly task?: string
  readonly tag?: string
  readonly search?: string
  readonly createdAfter?: string
  readonly createdBefore?: string
}

export function withFilters(command: Command): Command {
  return command
    .addOption(new Option('--state <state>', 'of the run').choices(runStates))
    .option('--task <name>', 'of one of its jobs')
    .option('--tag <tag>', 'of the run')
    .option('--search <words>', 'that occur in its inputs, results, errors or tags; all of them')
    .option('--created-after <instant>', 'such as 2026-11-29T12:00:00Z')
    .option('--created-before <instant>', 'the same')
}

export function filterOf({ state, task, tag, search, createdAfter, createdBefore }: FilterOptions): RunFilter {
  return {
    ...(state !== undefined && { state }),
    ...(task !== undefined && { task }),
    ...(tag !== undefined && { tag }),
    ...(search !== undefined && { q: search }),
    ...(createdAfter !== undefined && { createdAfter }),
    ...(createdBefore !== undefined && { createdBefore }),
  }
}
