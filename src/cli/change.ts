/** forerunner cancel, retry, redeliver and prune: change one job, one run, or every run that the filters match. */
import { InvalidArgumentError, type Command } from 'commander'
import type { RunView, BulkChangeView } from '../client/client.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes, UsageError } from './context.ts'
import { filterOf, withFilters, type FilterOptions } from './runs.ts'
import { runLines } from './run-lines.ts'
import { print, printJson, complain, confirm, isInteractive } from './terminal.ts'
import { ProblemError } from '../client/transport.ts'

interface Change {
  readonly name: 'cancel' | 'retry'
  readonly description: string
  ofOne(client: Context['client'], id: string, jobIndex: number | undefined): Promise<RunView>
}

const changes = { cancel: 'cancelRuns', retry: 'retryRuns' } as const

function add({ name, description, ofOne }: Change): AddCommand {
  return (program, act) => {
    const command = program
      .command(name)
      .description(description)
      .argument('[id]', 'of the run; without it, filters say which runs')
      .argument('[job]', 'its number, from 0; default: all of them', jobIndexOf)
    withManyOptions(command).action(
      act(async (context: Context, id: string | undefined, job: number | undefined, options: ManyOptions) => {
        const filter = filterOf(options)
        const isFiltered = Object.keys(filter).length > 0
        if (id === undefined && !isFiltered)
          throw new UsageError(`name a run, or at least one filter: ${context.name} ${name} --help`)
        if (id === undefined) {
          const change = context.client[changes[name]]
          const count = async (): Promise<number> => (await change({ ...filter, dryRun: true })).matched
          return changeMany(context, options, { verb: name, count, change: () => change(filter) })
        }
        if (isFiltered || options.dryRun) throw new UsageError('either a run or filters, not both')
        const run = await ofOne(context.client, id, job)
        if (context.isJson) printJson(run)
        else for (const line of runLines(run, context)) print(line)
        return exitCodes.done
      }),
    )
  }
}

export const addCancel = add({
  name: 'cancel',
  description: 'cancel a job, a run, or every run that the filters match',
  ofOne: (client, id, jobIndex) => client.cancel(id, jobIndex),
})

export const addRetry = add({
  name: 'retry',
  description:
    'queue failed and cancelled jobs again: one, those of a run, or those of every run that the filters match',
  async ofOne(client, id, jobIndex) {
    if (jobIndex !== undefined) return client.retry(id, jobIndex)
    let run = await client.getRun(id)
    const ended = run.jobs.filter(({ state }) => state === 'failed' || state === 'cancelled')
    if (ended.length === 0) throw new Error('the run has no failed or cancelled job')
    // One that waits for another of them is blocked again with that one's retry.
    for (const { index } of ended) if (run.jobs[index]?.state !== 'blocked') run = await client.retry(id, index)
    return run
  },
})

/** forerunner redeliver: sends a webhook again. */
export const addRedeliver: AddCommand = (program, act) => {
  program
    .command('redeliver')
    .description('send a webhook of a run again')
    .argument('<id>', 'of the run')
    .argument('<delivery>', 'its id, as "show" prints it')
    .action(
      act(async ({ client, isJson, glyphs }: Context, id: string, delivery: string) => {
        const run = await client.retryDelivery(id, delivery)
        if (isJson) printJson(run)
        else for (const line of runLines(run, { glyphs })) print(line)
        return exitCodes.done
      }),
    )
}

function jobIndexOf(text: string): number {
  if (!/^(?:0|[1-9]\d{0,8})$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0.')
  return Number(text)
}

/** Cancels or retries every run that the filters match. It prints their number and asks first, unless `--yes` is given. */
interface ManyOptions extends FilterOptions {
  readonly dryRun?: true
  readonly yes?: true
}

interface ManyChange {
  /** As in "say --yes to … them". */
  readonly verb: string
  /** How many runs match. */
  count(): Promise<number>
  change(): Promise<BulkChangeView>
}

function withManyOptions(command: Command): Command {
  return withFilters(command)
    .option('--dry-run', 'only count the runs that the filters match')
    .option('--yes', 'do not ask')
}

async function changeMany(
  { isJson }: Context,
  { dryRun, yes }: ManyOptions,
  { verb, count, change }: ManyChange,
): Promise<ExitCode> {
  if (dryRun !== true && yes !== true && !(await mayGoOn(isJson, verb, await count()))) {
    complain('nothing was changed')
    return exitCodes.failed
  }
  const result = dryRun === true ? { matched: await count(), changed: 0 } : await change()
  if (isJson) printJson(result)
  else print(`${runsMatch(result.matched)}${dryRun === true ? '' : `, ${result.changed} changed`}`)
  return exitCodes.done
}

/** @throws UsageError where there is nobody to ask */
async function mayGoOn(isJson: boolean, verb: string, matched: number): Promise<boolean> {
  if (isInteractive() && !isJson)
    return confirm(`${runsMatch(matched)}. Do you want to ${verb} ${matched === 1 ? 'it' : 'them'}?`)
  throw new UsageError(
    `${runsMatch(matched)}; --yes is needed to ${verb} ${matched === 1 ? 'it' : 'them'}, and --dry-run only counts`,
  )
}

function runsMatch(count: number): string {
  return count === 1 ? '1 run matches' : `${count} runs match`
}

/** Requests of `prune` under way. */
const atOnce = 8

export const addPrune: AddCommand = (program, act) => {
  withManyOptions(
    program.command('prune').description('forget every run that has ended and that the filters match'),
  ).action(
    act(async (context: Context, options: ManyOptions) => {
      const { client } = context
      const filter = filterOf(options)
      if (Object.keys(filter).length === 0)
        throw new UsageError(`name at least one filter: ${context.name} prune --help`)

      async function* ended(): AsyncGenerator<string, void, undefined> {
        for await (const { id, state } of client.allRuns({ ...filter, pageSize: 500 }))
          if (state !== 'running') yield id
      }

      return changeMany(context, options, {
        verb: 'forget',
        async count() {
          let matched = 0
          for await (const id of ended()) if (id !== '') matched += 1
          return matched
        },
        async change() {
          const ids = ended()
          let matched = 0
          let changed = 0
          const removeInTurn = async (): Promise<void> => {
            for (let next = await ids.next(); next.done !== true; next = await ids.next()) {
              matched += 1
              if (await remove(context, next.value)) changed += 1
            }
          }
          await Promise.all(Array.from({ length: atOnce }, removeInTurn))
          return { matched, changed }
        },
      })
    }),
  )
}

/** @returns false where somebody was faster, or one of its jobs was queued again */
async function remove({ client }: Context, id: string): Promise<boolean> {
  try {
    await client.remove(id)
    return true
  } catch (error) {
    if (error instanceof ProblemError && (error.code === 'run-not-found' || error.code === 'run-active')) return false
    throw error
  }
}
