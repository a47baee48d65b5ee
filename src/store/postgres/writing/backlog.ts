/**
 * How many jobs are not final, over all processes, without counting them: the sum of what each connection of each process
 * has added less what it has ended. This process knows its own share, and gets those of others with their notifications;
 * all of them are read once a second.
 */
import type { Query } from '../connection/connection.ts'

export interface Backlog {
  jobs(): number
  /** @param writer a connection of this or another process */
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
  /** Writers whose share has come while the totals are being read: the rows can be older than it. */
  let heardMeanwhile = new Set<string>()

  return {
    // The rows of a process that has left are added to another row: in between, the sum can be too small.
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
