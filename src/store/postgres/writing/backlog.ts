/**
 * How many jobs are not final, over all processes, without counting them: each connection of each process has added so many,
 * less than 0 where it ends what others add. This process knows its own, and hears of the others' with their commits;
 * what was not told, or is forgotten meanwhile, is read once a second.
 */
import type { Query } from '../connection/connection.ts'

export interface Backlog {
  jobs(): number
  /** @param writer of whatever process */
  hear(writer: string, live: number): void
  /** @throws DatabaseFailure */
  refresh(query: Query): Promise<void>
}

const select = {
  name: 'select-live',
  text: `SELECT process || ' ' || writer AS name, accepted - final AS live FROM tally`,
}

/** Of a connection through which a process writes. */
export function writerName(process: number, writer: number): string {
  return `${process} ${writer}`
}

export function createBacklog(): Backlog {
  let writers = new Map<string, number>()
  let sum = 0
  /** Writers that were heard of while the totals are being read: what the read finds of them can be older. */
  let heardMeanwhile = new Set<string>()

  return {
    // Who forgets a process adds its rows to another one; in between it can be counted less than it is.
    jobs: () => Math.max(0, sum),
    hear(name, live) {
      sum += live - (writers.get(name) ?? 0)
      writers.set(name, live)
      heardMeanwhile.add(name)
    },
    async refresh(query) {
      heardMeanwhile = new Set()
      const rows = await query(select)
      const known = [...writers].filter(([name]) => heardMeanwhile.has(name))
      writers = new Map([...rows.map((row) => [String(row['name']), Number(row['live'])] as const), ...known])
      sum = [...writers.values()].reduce((all, live) => all + live, 0)
    },
  }
}
