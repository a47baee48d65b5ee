/** forerunner runs and show: list runs, and show one of them whole. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import type { JobView, LineView, RunFilter, RunPageView } from '../client/client.ts'
import { prettyJson, writeJson } from '../domain/json.ts'
import { runStates } from '../domain/run.ts'
import type { AddCommand, Context } from './context.ts'
import { age, printRun, stateText } from './run-lines.ts'
import { clean, complain, type Glyphs, print, printJson, styled, table } from './terminal.ts'

const levelWidth = 'error'.length

interface ListOptions extends FilterOptions {
  readonly limit: number
}

export const addRuns: AddCommand = (program, act) => {
  addFilterOptions(program.command('runs').description('list runs, newest first'))
    .option('--limit <number>', 'number of runs, at most 500', parseCount, 20)
    .action(
      act(async ({ client, isJson, glyphs }: Context, { limit, ...filter }: ListOptions) => {
        const page = await client.listRuns({ ...filterOf(filter), pageSize: limit })
        if (isJson) printJson(page)
        else if (page.runs.length === 0) complain('no run matches')
        else print(runTable(page.runs, glyphs))
      }),
    )
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}

function runTable(runs: RunPageView['runs'], { ellipsis }: Glyphs): string {
  const now = Date.now()
  const rows = runs.map(({ id, state, createdAt, jobs, tags }) => [
    id,
    stateText(state),
    age(now - Date.parse(createdAt)),
    `${jobs.filter((job) => job.finishedAt !== null).length}/${jobs.length}`,
    taskCounts(jobs),
    tags.map(clean).join(' '),
  ])
  return table(['run', 'state', 'created', 'ended', 'tasks', 'tags'], rows, ellipsis)
}

/** In the order of the jobs; a task with several jobs is named once, such as `mail ×3`. */
function taskCounts(jobs: RunPageView['runs'][number]['jobs']): string {
  const jobsByTask = Map.groupBy(jobs, ({ task }) => task)
  return [...jobsByTask].map(([task, { length }]) => (length === 1 ? task : `${task} ×${length}`)).join(', ')
}

export const addShow: AddCommand = (program, act) => {
  program
    .command('show')
    .description('show a run with the steps and results of its jobs')
    .argument('<id>', 'id of the run')
    .option('--log', 'also show the log lines of its tasks; with --json, print only these')
    .action(
      act(async (context: Context, id: string, { log = false }: { readonly log?: boolean }) => {
        const { client, isJson } = context
        if (isJson && log) {
          for await (const line of client.allLines(id)) printJson(line)
          return
        }
        const run = await client.getRun(id)
        printRun(context, run)
        if (!isJson) printData(run.jobs)
        if (log) await printLog(client.allLines(id))
      }),
    )
}

function printData(jobs: readonly JobView[]): void {
  for (const { index, steps = [] } of jobs) {
    const lines = steps.map(({ name, finishedAt }) => `${finishedAt}  ${clean(name)}`)
    if (lines.length > 0) print(`\nsteps of job ${index}:\n${lines.join('\n')}`)
  }
  for (const { index, state, result } of jobs) {
    if (state === 'completed') print(`\nresult of job ${index}:\n${prettyJson(writeJson(result))}`)
  }
}

async function printLog(lines: AsyncIterable<LineView>): Promise<void> {
  print('\nlog:')
  let isEmpty = true
  for await (const { at, level, jobIndex, attempt, message, fields, error } of lines) {
    isEmpty = false
    const data = [fields, error].flatMap((value) => (value === undefined ? [] : JSON.stringify(value)))
    const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim'
    const head = `${at} ${styled(style, level.padEnd(levelWidth))} job ${jobIndex}, attempt ${attempt}`
    print(`${head}: ${clean([message, ...data].join(' '))}`)
  }
  if (isEmpty) print(styled('dim', 'no log lines are stored'))
}

/** The filters of runs as options, the same for a list and for a change of many runs. */
export interface FilterOptions extends Pick<RunFilter, 'state' | 'task' | 'tag' | 'createdAfter' | 'createdBefore'> {
  readonly search?: string
}

export function addFilterOptions(command: Command): Command {
  return command
    .addOption(new Option('--state <state>', 'state of the run').choices(runStates))
    .option('--task <name>', 'task of one of its jobs')
    .option('--tag <tag>', 'tag of the run')
    .option('--search <words>', 'words that all occur in its inputs, results, errors or tags')
    .option('--created-after <instant>', 'such as 2026-11-29T12:00:00Z')
    .option('--created-before <instant>', 'in the same form')
}

export function filterOf({ search, ...filter }: FilterOptions): RunFilter {
  return search === undefined ? filter : { ...filter, q: search }
}
