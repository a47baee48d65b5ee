/** forerunner cancel and retry: of one job, of one run, or of every run that a filter matches. */
import { InvalidArgumentError } from 'commander'
import type { RunView } from '../client/client.ts'
import { changeMany, withManyOptions, type ManyOptions } from './change-many.ts'
import type { AddCommand, Context } from './context.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { filterOf } from './filter.ts'
import { runLines } from './run-lines.ts'
import { print, printJson } from './terminal.ts'

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

function jobIndexOf(text: string): number {
  if (!/^(?:0|[1-9]\d{0,8})$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0.')
  return Number(text)
}
