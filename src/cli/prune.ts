/** forerunner prune: forgets every run that has ended and that filters match. */
import { ProblemError } from '../client/problem-error.ts'
import { changeMany, withManyOptions, type ManyOptions } from './change-many.ts'
import type { AddCommand, Context } from './context.ts'
import { UsageError } from './exit-code.ts'
import { filterOf } from './filter.ts'

/** Requests under way. */
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
