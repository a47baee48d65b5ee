/** The filters of runs as options, the same for a list and for a change of many. */
import { Option, type Command } from 'commander'
import type { RunFilter } from '../client/client.ts'
import { runStates } from '../domain/run.ts'

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
