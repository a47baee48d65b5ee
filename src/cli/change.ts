/** forerunner cancel, retry, prune and redeliver: change one job, one run, one webhook, or every run that the filters match. */
import { InvalidArgumentError, type Command } from 'commander'
import type { BulkChangeView, RunFilter, RunView } from '../client/client.ts'
import { ProblemError } from '../client/transport.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes, UsageError } from './context.ts'
import { printRun } from './run-lines.ts'
import { filterOf, type FilterOptions, addFilterOptions } from './runs.ts'
import { complain, confirm, isInteractive, print, printJson } from './terminal.ts'

interface ManyOptions extends FilterOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
}

function addManyOptions(command: Command): Command {
  return addFilterOptions(command)
    .option('--dry-run', 'only count the runs that the filters match')
    .option('--yes', 'do not ask')
}

interface JobChange {
  readonly verb: 'cancel' | 'retry'
  readonly description: string
  changeOne(client: Context['client'], id: string, jobIndex: number | undefined): Promise<RunView>
}

function addJobChange({ verb, description, changeOne }: JobChange): AddCommand {
  return (program, act) => {
    const command = program
      .command(verb)
      .description(description)
      .argument('[id]', 'id of the run; default: the runs that the filters match')
      .argument('[job]', 'index of the job, from 0; default: all jobs', parseJobIndex)
    addManyOptions(command).action(
      act(async (context: Context, id: string | undefined, jobIndex: number | undefined, options: ManyOptions) => {
        const { dryRun = false, yes = false, ...filters } = options
        const filter = filterOf(filters)
        const isFiltered = Object.keys(filter).length > 0
        if (id === undefined) {
          if (!isFiltered) throw new UsageError(`name a run, or at least one filter: ${context.name} ${verb} --help`)
          const { cancelRuns, retryRuns } = context.client
          const changeRuns = verb === 'cancel' ? cancelRuns : retryRuns
          const count = async () => (await changeRuns({ ...filter, dryRun: true })).matched
          return changeMany(context, { dryRun, yes }, { verb, count, change: () => changeRuns(filter) })
        }
        if (isFiltered || dryRun) throw new UsageError('either a run or filters, not both')
        printRun(context, await changeOne(context.client, id, jobIndex))
        return exitCodes.done
      }),
    )
  }
}

function parseJobIndex(text: string): number {
  if (!/^(?:0|[1-9]\d{0,8})$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0.')
  return Number(text)
}

export const addCancel = addJobChange({
  verb: 'cancel',
  description: 'cancel a job, a run, or every run that the filters match',
  changeOne: (client, id, jobIndex) => client.cancel(id, jobIndex),
})

export const addRetry = addJobChange({
  verb: 'retry',
  description:
    'queue failed and cancelled jobs again: one, those of a run, or those of every run that the filters match',
  async changeOne(client, id, jobIndex) {
    if (jobIndex !== undefined) return client.retry(id, jobIndex)
    let run = await client.getRun(id)
    const ended = run.jobs.filter(({ state }) => state === 'failed' || state === 'cancelled')
    if (ended.length === 0) throw new Error('the run has no failed or cancelled job')
    // A retry also blocks the jobs that wait for the job's result: they need no retry of their own.
    for (const { index } of ended) if (run.jobs[index]?.state !== 'blocked') run = await client.retry(id, index)
    return run
  },
})

export const addRedeliver: AddCommand = (program, act) => {
  program
    .command('redeliver')
    .description('send a webhook of a run again')
    .argument('<id>', 'id of the run')
    .argument('<delivery>', 'id of the delivery, as "show" prints it')
    .action(
      act(async (context: Context, id: string, delivery: string) => {
        printRun(context, await context.client.retryDelivery(id, delivery))
      }),
    )
}

interface ManyChange {
  /** Completes "Do you want to … them?". */
  readonly verb: string
  /** How many runs match. */
  count(): Promise<number>
  change(): Promise<BulkChangeView>
}

/** Counts the runs and asks first, unless `--yes` is given. */
async function changeMany(
  { isJson }: Context,
  { dryRun, yes }: Required<Pick<ManyOptions, 'dryRun' | 'yes'>>,
  { verb, count, change }: ManyChange,
): Promise<ExitCode> {
  if (!dryRun && !yes && !(await hasConsent(isJson, verb, await count()))) {
    complain('nothing was changed')
    return exitCodes.failed
  }
  const result = dryRun ? { matched: await count(), changed: 0 } : await change()
  if (isJson) printJson(result)
  else print(`${matchText(result.matched)}${dryRun ? '' : `, ${result.changed} changed`}`)
  return exitCodes.done
}

/** @throws UsageError if nobody can be asked */
async function hasConsent(isJson: boolean, verb: string, matched: number): Promise<boolean> {
  const them = matched === 1 ? 'it' : 'them'
  if (isInteractive() && !isJson) return confirm(`${matchText(matched)}. Do you want to ${verb} ${them}?`)
  throw new UsageError(`${matchText(matched)}; --yes is needed to ${verb} ${them}, and --dry-run only counts`)
}

function matchText(count: number): string {
  return count === 1 ? '1 run matches' : `${count} runs match`
}

/** Requests that `prune` has under way at once. */
const maxRemovals = 8

export const addPrune: AddCommand = (program, act) => {
  addManyOptions(program.command('prune').description('remove every ended run that the filters match')).action(
    act(async (context: Context, { dryRun = false, yes = false, ...filters }: ManyOptions) => {
      const { client, name } = context
      const filter = filterOf(filters)
      if (Object.keys(filter).length === 0) throw new UsageError(`name at least one filter: ${name} prune --help`)
      return changeMany(
        context,
        { dryRun, yes },
        {
          verb: 'remove',
          async count() {
            let matched = 0
            for await (const _ of endedRuns(client, filter)) matched += 1
            return matched
          },
          change: () => removeRuns(client, filter),
        },
      )
    }),
  )
}

async function* endedRuns(client: Context['client'], filter: RunFilter): AsyncGenerator<string, void, undefined> {
  for await (const { id, state } of client.allRuns({ ...filter, pageSize: 500 })) if (state !== 'running') yield id
}

async function removeRuns(client: Context['client'], filter: RunFilter): Promise<BulkChangeView> {
  const ids = endedRuns(client, filter)
  let matched = 0
  let changed = 0
  // Each of the calls takes the next id when it has removed a run.
  async function removeInTurn(): Promise<void> {
    for (let next = await ids.next(); next.done !== true; next = await ids.next()) {
      matched += 1
      if (await remove(client, next.value)) changed += 1
    }
  }
  await Promise.all(Array.from({ length: maxRemovals }, removeInTurn))
  return { matched, changed }
}

/** @returns false if the run is already gone, or one of its jobs was queued again */
async function remove(client: Context['client'], id: string): Promise<boolean> {
  try {
    await client.remove(id)
    return true
  } catch (error) {
    if (error instanceof ProblemError && (error.code === 'run-not-found' || error.code === 'run-active')) return false
    throw error
  }
}
