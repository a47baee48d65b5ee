/**
 * How many jobs are not final, over all processes, without counting them: each lane of each process has added so many,
 * less than 0 where it ends what others add. This process knows its own, and hears of the others' with their commits;
 * what was not told, or is forgotten meanwhile, is read once a second.
 */
import type { Query } from './connection.ts'

export interface Backlog {
  jobs(): number
  /** @param lane of whatever process */
  hear(lane: string, live: number): void
  /** @throws DatabaseFailure */
  refresh(query: Query): Promise<void>
}

const select = {
  name: 'select-live',
  text: 'SELECT owner, accepted - final AS live FROM tally WHERE owner <> ALL($1::text[])',
}

/** @param own lanes of this process, of which nobody else knows more */
export function createBacklog(own: readonly string[]): Backlog {
  let lanes = new Map<string, number>()
  let sum = 0
  /** Lanes that were heard of while the totals are being read: what the read finds of them can be older. */
  let heardMeanwhile = new Set<string>()

  return {
    // Who forgets a process adds its rows to another one; in between it can be counted less than it is.
    jobs: () => Math.max(0, sum),
    hear(lane, live) {
      sum += live - (lanes.get(lane) ?? 0)
      lanes.set(lane, live)
      heardMeanwhile.add(lane)
    },
    async refresh(query) {
      heardMeanwhile = new Set()
      const rows = await query(select, [own])
      const known = [...own, ...heardMeanwhile].map((lane) => [lane, lanes.get(lane) ?? 0] as const)
      lanes = new Map([...rows.map((row) => [String(row['owner']), Number(row['live'])] as const), ...known])
      sum = [...lanes.values()].reduce((all, live) => all + live, 0)
    },
  }
}
