/**
 * How many jobs are not final, over all processes, without counting them: this process knows what it has added itself,
 * and hears from each other one what that has, with each of its commits and once a second.
 */
import type { Query } from './connection.ts'

export interface Backlog {
  jobs(): number
  /** What this process has added so far. */
  own(): number
  add(live: number): void
  hear(from: string, live: number): void
  /** @throws DatabaseFailure */
  refresh(query: Query): Promise<void>
}

const select = { name: 'select-live', text: 'SELECT owner, accepted - final AS live FROM tally WHERE owner <> $1' }

export function createBacklog(owner: string): Backlog {
  let others = new Map<string, number>()
  let ofOthers = 0
  let own = 0

  return {
    // Who forgets a process adds its row to another one; in between it can be counted less than it is.
    jobs: () => Math.max(0, own + ofOthers),
    own: () => own,
    add(live) {
      own += live
    },
    hear(from, live) {
      ofOthers += live - (others.get(from) ?? 0)
      others.set(from, live)
    },
    async refresh(query) {
      const rows = await query(select, [owner])
      others = new Map(rows.map((row) => [String(row['owner']), Number(row['live'])]))
      ofOthers = [...others.values()].reduce((sum, live) => sum + live, 0)
    },
  }
}
