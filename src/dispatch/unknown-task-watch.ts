/** Warns of jobs that wait for a task that no process runs: once for each task, for as long as its jobs wait. */
import type { Clock } from '../domain/clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface UnknownTaskWatch {
  start(): void
  stop(): void
}

export interface UnknownTaskWatchOptions {
  readonly store: Pick<Store, 'stats'>
  readonly clock: Clock
  readonly log: Log
  /** Between two looks; default 30 s. */
  readonly pauseMs?: number
}

export function createUnknownTaskWatch({
  store,
  clock,
  log,
  pauseMs = 30_000,
}: UnknownTaskWatchOptions): UnknownTaskWatch {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let warned = new Set<string>()

  async function look(): Promise<void> {
    const { unknownTasks } = await store.stats(clock.now())
    const names = Object.keys(unknownTasks)
    const fresh = names.filter((name) => !warned.has(name))
    warned = new Set(names)
    if (fresh.length === 0) return
    log.warn(
      { unknownTasks },
      'jobs wait for tasks that no process runs: they run when a process with these tasks starts',
    )
  }

  function round(): void {
    void look()
      // Whoever needs the store hears of that.
      .catch((error: unknown) => log.debug({ err: error }, 'the waiting jobs could not be looked through'))
      .then(() => {
        if (!isStopped) timer = setTimeout(round, pauseMs).unref()
      })
  }

  return {
    start: round,
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
