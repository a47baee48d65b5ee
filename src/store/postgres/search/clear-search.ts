/** For a service without search: no words of runs are kept, once no process keeps an index any more. */
import type { Log } from '../../../log.ts'
import type { Query } from '../connection/connection.ts'

export interface SearchClearing {
  start(): void
  /** Resolves when nothing is under way. */
  stop(): Promise<void>
}

export interface SearchClearingOptions {
  readonly query: Query
  readonly log: Log
}

const lookMs = 60_000
const pauseMs = 50

// A later index begins with all runs.
const reset = {
  name: 'reset-search',
  text: `
    WITH others AS (SELECT FROM process WHERE has_search AND heartbeat_at > clock_timestamp() - interval '30 s' LIMIT 1),
    forgotten AS (DELETE FROM search_progress WHERE process <> 0 AND NOT EXISTS (SELECT FROM others)),
    put AS (
      INSERT INTO search_progress (process, since) SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM others)
      ON CONFLICT (process) DO UPDATE SET since = 0, below = NULL)
    SELECT EXISTS (SELECT FROM others) AS is_kept`,
}
const clear = {
  name: 'clear-search',
  text: `
    WITH cleared AS (DELETE FROM search WHERE run IN (SELECT run FROM search ORDER BY run LIMIT 1000) RETURNING 1)
    SELECT count(*) AS cleared FROM cleared`,
}

export function createSearchClearing({ query, log }: SearchClearingOptions): SearchClearing {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = Promise.resolve()

  /** @returns when to go on, in milliseconds; null: there are none */
  async function step(): Promise<number | null> {
    const [row] = await query(reset)
    if (row?.['is_kept'] === true) return lookMs
    return Number((await query(clear))[0]?.['cleared']) > 0 ? pauseMs : null
  }

  async function run(): Promise<void> {
    const afterMs = await step().catch((error: unknown) => {
      log.debug({ err: error }, 'the index for search could not be cleared')
      return lookMs
    })
    if (afterMs !== null && !isStopped) timer = setTimeout(() => (underWay = run()), afterMs)
  }

  return {
    start: () => void (underWay = run()),
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await underWay
    },
  }
}
