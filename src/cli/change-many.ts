/** Cancels or retries every run that the filters match. It prints their number and asks first, unless `--yes` is given. */
import type { Command } from 'commander'
import type { BulkChangeView } from '../client/client.ts'
import type { Context } from './context.ts'
import { exitCodes, UsageError, type ExitCode } from './exit-code.ts'
import { withFilters, type FilterOptions } from './filter.ts'
import { complain, confirm, isInteractive, print, printJson } from './terminal.ts'

export interface ManyOptions extends FilterOptions {
  readonly dryRun?: true
  readonly yes?: true
}

export interface ManyChange {
  /** As in "say --yes to … them". */
  readonly verb: string
  /** How many runs match. */
  count(): Promise<number>
  change(): Promise<BulkChangeView>
}

export function withManyOptions(command: Command): Command {
  return withFilters(command)
    .option('--dry-run', 'only count the runs that the filters match')
    .option('--yes', 'do not ask')
}

export async function changeMany(
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
