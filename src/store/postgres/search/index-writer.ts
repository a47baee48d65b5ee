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
  readonly processId: number
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

type Options = Omit<SearchIndexOptions, 'hasSearch'>

function createIndexWriter(options: Options): SearchIndex {
  const { processId, query, log } = options
  const unindexed = createUnindexed(options)
  const catchUp = createCatchUp(options, unindexed)
  const repetition = createRepetition(run)
  /** `idle`: waits only for the next search for processes that are gone. */
  let state: 'idle' | 'working' = 'working'
  let notedAt = -Infinity

  /** @returns whether there may be more to do */
  async function step(): Promise<boolean> {
    if ((await unindexed.indexSome()) || (await catchUp.proceed())) return true
    await catchUp.noteProgress()
    return catchUp.findNext()
  }

  async function run(): Promise<void> {
    // A commit meanwhile starts no second run.
    state = 'working'
    const beganAt = performance.now()
    try {
      if (await step()) {
        const pauses = performance.now() - notedAt < busyMs ? busyPauses : quietPauses
        return repetition.next((performance.now() - beganAt) * pauses)
      }
    } catch (error) {
      log.warn({ err: error }, 'the index for search cannot be written')
      return repetition.next(failureMs)
    }
    if (unindexed.hasNoted()) return repetition.next(delayMs)
    state = 'idle'
    repetition.next(lookMs)
  }

  return {
    note(written) {
      notedAt = performance.now()
      for (const stored of written) unindexed.note(stored.run.id)
      if (state === 'idle') repetition.next(delayMs)
      state = 'working'
    },
    start: () => repetition.next(delayMs),
    async stop() {
      await repetition.stop()
      if (unindexed.isEmpty() && !catchUp.isOwn()) await forgetProgress(query, processId).catch(() => {})
    },
  }
}

type Unindexed = ReturnType<typeof createUnindexed>

/** The written runs whose words are not in the index yet. Works in rounds: each indexes the runs noted before it. */
function createUnindexed({ query, decoder, log }: Options) {
  let noted = new Set<string>()
  /** Runs of the current round. */
  let due: string[] = []
  let batch = maxBatch
  let hasMissed = false

  return {
    note(id: string): void {
      if (noted.size < maxNoted) noted.add(id)
      else hasMissed = true
    },
    hasNoted: (): boolean => noted.size > 0,
    isEmpty: (): boolean => noted.size + due.length === 0 && !hasMissed,
    /** @returns whether runs were not remembered since the last call */
    takeMissed(): boolean {
      const isMissing = hasMissed
      hasMissed = false
      return isMissing
    },
    addToRound: (ids: readonly string[]) => void due.push(...ids),
    /** Begins a round, or indexes some of its runs. @returns false if there are none */
    async indexSome(): Promise<boolean> {
      if (due.length === 0) {
        due = [...noted]
        noted = new Set()
        batch = maxBatch
        return due.length > 0
      }
      const ids = due.slice(0, batch)
      try {
        const skipped = await indexRuns(query, decoder, ids, log)
        for (const id of skipped) noted.add(id)
      } catch (error) {
        if (!isFailure(error, 'refused')) throw error
        // One of them is to blame: the next batches have one run each.
        if (ids.length > 1) {
          batch = 1
          return true
        }
        log.warn({ runId: ids[0], err: error }, 'the words of a run cannot be written')
      }
      due = due.slice(ids.length)
      return true
    },
  }
}

/** Catches up for processes that are gone, and for this one if it has written runs that it did not remember. */
function createCatchUp({ processId, startedAt, query, clock }: Options, unindexed: Unindexed) {
  let current: CatchUp | null = null
  /** Everything that this process wrote before this instant is in the index, as the database has it noted. */
  let since = startedAt
  let lookedAt = -Infinity

  return {
    isOwn: (): boolean => current?.processId === processId,
    /** Compares and indexes some runs. @returns false if there is nothing to catch up with */
    async proceed(): Promise<boolean> {
      if (current === null && unindexed.takeMissed()) current = catchUpOf(processId, since)
      if (current === null) return false
      const from = current
      const { ids, left } = await compare(query, from, maxBatch)
      unindexed.addToRound(ids)
      if (ids.length > 0) await unindexed.indexSome()
      current = left
      if (from.processId !== processId) await noteLeft(query, from, left)
      return true
    },
    /** Notes that the index has everything up to now. Call when nothing is left of the round. */
    async noteProgress(): Promise<void> {
      const at = clock.now()
      if (unindexed.hasNoted() || Math.abs(at - since) < lookMs) return
      await noteIndexed(query, processId, at)
      since = at
    },
    /** Looks for a process that is gone. @returns whether there is one */
    async findNext(): Promise<boolean> {
      if (performance.now() - lookedAt < lookMs) return false
      lookedAt = performance.now()
      await registerOthers(query, processId, clock.now())
      current = await findCatchUp(query, processId)
      return current !== null
    },
  }
}

/** Runs the work now or later, never twice at once. The work sets the next time. */
function createRepetition(work: () => Promise<void>) {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = Promise.resolve()

  const now = (): void => void (underWay = work())

  return {
    now,
    next(afterMs: number): void {
      clearTimeout(timer)
      if (!isStopped) timer = setTimeout(now, afterMs)
    },
    /** Resolves when nothing is under way. */
    async stop(): Promise<void> {
      isStopped = true
      clearTimeout(timer)
      await underWay
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
function createSearchClearing({ query, log }: Options): SearchIndex {
  const repetition = createRepetition(run)

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
    if (afterMs !== null) repetition.next(afterMs)
  }

  return { note() {}, start: repetition.now, stop: repetition.stop }
}
