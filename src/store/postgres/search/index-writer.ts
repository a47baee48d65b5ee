/**
 * Keeps the index for search: each process indexes the runs that it has written, some time after their commits, a few at a
 * time and in a small part of its time. A run that ends within the delay is indexed once. One process catches up for those
 * that are gone.
 */
import type { Log } from '../../../log.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Query } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import type { RecordDecoder } from '../statements/records.ts'
import type { Stored } from '../writing/unit-of-work.ts'
import {
  type CatchUp,
  catchUpOf,
  compare,
  findCatchUp,
  forgetProgress,
  indexRuns,
  noteIndexed,
  noteLeft,
  registerOthers,
} from './index-runs.ts'

export interface SearchIndex {
  /** Call when this process has committed the records. */
  note(written: readonly Stored[]): void
  start(): void
  /** Resolves when nothing is under way. */
  stop(): Promise<void>
}

interface SearchIndexOptions {
  /** Number of this process. */
  readonly process: number
  /** When this process started, by its clock. */
  readonly startedAt: number
  /** Whether runs can be found by words; if not, the index is emptied. */
  readonly hasSearch: boolean
  readonly query: Query
  readonly decoder: RecordDecoder
  readonly clock: Clock
  readonly log: Log
}

/** From a commit to the indexing of its runs. */
const delayMs = 500
const maxBatch = 32
// The pause after each batch is a multiple of the time that it took. It is longer while runs are being written.
const busyPauses = 9
const quietPauses = 1
/** For how long the process counts as busy after a commit. */
const busyMs = 25
/** The pause after a failure. */
const failureMs = 10_000
/** Between two searches for processes that are gone. */
const lookMs = 10_000
/** Limit for the remembered runs. The process catches up with further ones as if it were gone. */
const maxNoted = 50_000

export function createSearchIndex({ hasSearch, ...options }: SearchIndexOptions): SearchIndex {
  return hasSearch ? createIndexWriter(options) : createSearchClearing(options)
}

function createIndexWriter(options: Omit<SearchIndexOptions, 'hasSearch'>): SearchIndex {
  const { process, startedAt, query, decoder, clock, log } = options
  let noted = new Set<string>()
  let due: string[] = []
  /** Everything written before this instant is in `due` or in the index. */
  let roundAt = 0
  /** The instant that the database has for this process. */
  let since = startedAt
  /** Whether written runs were not remembered. */
  let hasMissed = false
  let catchUp: CatchUp | null = null
  let batch = maxBatch
  let lookedAt = -Infinity
  let notedAt = -Infinity
  let timer: NodeJS.Timeout | undefined
  /** Whether the timer waits only for the next search for processes that are gone. */
  let isIdle = false
  let isStopped = false
  let underWay = Promise.resolve()

  /** @returns whether there may be more to do */
  async function step(): Promise<boolean> {
    if (due.length > 0) {
      await indexDue()
      return true
    }
    if (noted.size > 0) {
      roundAt = clock.now()
      due = [...noted]
      noted = new Set()
      batch = maxBatch
      return true
    }
    if (catchUp !== null) {
      await continueCatchUp(catchUp)
      return true
    }
    if (hasMissed) {
      hasMissed = false
      roundAt = clock.now()
      catchUp = catchUpOf(process, since)
      return true
    }
    await noteProgress()
    if (performance.now() - lookedAt < lookMs) return false
    lookedAt = performance.now()
    await registerOthers(query, process, clock.now())
    catchUp = await findCatchUp(query, process)
    return catchUp !== null
  }

  async function indexDue(): Promise<void> {
    const ids = due.slice(0, batch)
    try {
      const skipped = await indexRuns(query, decoder, ids, log)
      for (const id of skipped) noted.add(id)
    } catch (error) {
      if (!isFailure(error, 'refused')) throw error
      // One of them is to blame: the next batches have one run each.
      if (ids.length > 1) {
        batch = 1
        return
      }
      log.warn({ runId: ids[0], err: error }, 'the words of a run cannot be written')
    }
    due = due.slice(ids.length)
  }

  async function continueCatchUp(from: CatchUp): Promise<void> {
    const { ids, left } = await compare(query, from, maxBatch)
    due.push(...ids)
    if (due.length > 0) await indexDue()
    catchUp = left
    if (from.process !== process) await noteLeft(query, from, left)
  }

  /** Notes in the database that everything written before the round is in the index. */
  async function noteProgress(): Promise<void> {
    const at = clock.now()
    if (noted.size === 0) roundAt = at
    if (Math.abs(at - since) < lookMs) return
    await noteIndexed(query, process, roundAt)
    since = roundAt
  }

  async function run(): Promise<void> {
    const beganAt = performance.now()
    let hasMore = true
    let pauseMs = failureMs
    try {
      hasMore = await step()
      const rest = performance.now() - notedAt < busyMs ? busyPauses : quietPauses
      pauseMs = hasMore ? (performance.now() - beganAt) * rest : lookMs
    } catch (error) {
      log.warn({ err: error }, 'the index for search cannot be written')
    }
    if (isStopped) return
    isIdle = !hasMore
    schedule(isIdle && noted.size > 0 ? delayMs : pauseMs)
  }

  function schedule(afterMs: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => (underWay = run()), afterMs)
  }

  return {
    note(written) {
      notedAt = performance.now()
      for (const {
        run: { id },
      } of written) {
        if (noted.size < maxNoted) noted.add(id)
        else hasMissed = true
      }
      if (!isIdle || noted.size === 0) return
      isIdle = false
      schedule(delayMs)
    },
    start: () => schedule(delayMs),
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await underWay
      const isDone = noted.size + due.length === 0 && !hasMissed && catchUp?.process !== process
      if (isDone) await forgetProgress(query, process).catch(() => {})
    },
  }
}

const clearLookMs = 60_000
const clearPauseMs = 50

// A service with search that starts later then indexes all runs.
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

/** For a service without search: deletes the words of all runs once no other process has search. */
function createSearchClearing({ query, log }: Pick<SearchIndexOptions, 'query' | 'log'>): SearchIndex {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = Promise.resolve()

  /** @returns after how many milliseconds to continue; null: no words are left */
  async function step(): Promise<number | null> {
    const [row] = await query(reset)
    if (row?.['is_kept'] === true) return clearLookMs
    return Number((await query(clear))[0]?.['cleared']) > 0 ? clearPauseMs : null
  }

  async function run(): Promise<void> {
    const afterMs = await step().catch((error: unknown) => {
      log.debug({ err: error }, 'the index for search could not be cleared')
      return clearLookMs
    })
    if (afterMs !== null && !isStopped) timer = setTimeout(() => (underWay = run()), afterMs)
  }

  return {
    note() {},
    start: () => void (underWay = run()),
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await underWay
    },
  }
}
