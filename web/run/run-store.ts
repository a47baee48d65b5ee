/**
 * Follows one run through its event stream. Each job has its own signals, which keep their values while the job does not
 * change, so only the lanes of changed jobs are redrawn. Changes in quick succession are shown together.
 */
import { batch, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { JobView, RunView, WatchEvent } from 'forerunner/client'
import { writeJson } from '../../src/domain/json.ts'
import { readBounded } from '../shell/bounded-read.ts'
import { client, wordsOf } from '../shell/service.ts'

export interface LiveJob {
  readonly view: ReadonlySignal<JobView>
  /** From 0 to 1; null if the job reports none. It changes far more often than the rest. */
  readonly progress: ReadonlySignal<number | null>
}

export interface RunStore {
  /** null until it is loaded. */
  readonly run: ReadonlySignal<RunView | null>
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  /** The error in words; empty if there is none. */
  readonly trouble: ReadonlySignal<string>
  /** Follows the run. Called again after a change, because the stream of a finished run has ended. */
  follow(): void
  cancel(jobIndex?: number): Promise<void>
  /** One retry after the other, because each is a change of the run. */
  retry(jobIndexes: readonly number[]): Promise<void>
  /** Sends a webhook of the run again. */
  redeliver(deliveryId: string): Promise<void>
  stop(): void
}

/** A page cannot use more at once. */
const maxRunBytes = 2 * 2 ** 20
const reconnectMs = 3_000
const deliveriesMs = 2_000
/** Interval of updates: nobody reads faster, and a large run has hundreds of changes in it. */
const showEveryMs = (jobs: number): number => (jobs < 100 ? 50 : 500)

export function createRunStore(id: string): RunStore {
  const run = signal<RunView | null>(null)
  const jobs = signal<readonly JobSignals[]>([])
  const trouble = signal('')
  let following = new AbortController()
  /** Changes that have arrived and are not shown yet. */
  let newest: RunView | null = null
  const progress = new Map<number, number | null>()
  let timer: ReturnType<typeof setTimeout> | undefined

  function show(next: RunView): void {
    newest = next
    flush()
  }

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    const next = newest
    newest = null
    batch(() => {
      if (next !== null && next.version >= (run.peek()?.version ?? 0)) showRun(next)
      for (const [index, fraction] of progress) {
        const job = jobs.peek()[index]
        if (job !== undefined) job.progress.value = fraction
      }
    })
    progress.clear()
  }

  function showRun(next: RunView): void {
    const known = jobs.peek()
    if (known.length === next.jobs.length) {
      const before = run.peek()?.jobs ?? []
      for (const [index, job] of next.jobs.entries()) {
        // Faster than comparing each member; the service serializes equal jobs equally.
        if (writeJson(before[index]) !== writeJson(job)) update(known[index], job)
      }
    } else jobs.value = next.jobs.map((job) => ({ view: signal(job), progress: signal(job.progress) }))
    run.value = next
    trouble.value = ''
  }

  function take(event: WatchEvent): void {
    if (event.type === 'run') newest = event.run
    else progress.set(event.jobIndex, event.progress)
    if (run.peek() === null) flush()
    else timer ??= setTimeout(flush, showEveryMs(jobs.peek().length))
  }

  async function watch(signalOfEnd: AbortSignal): Promise<void> {
    while (!signalOfEnd.aborted) {
      try {
        // Before the stream, which may be refused, and after its end, because events omit large results.
        const known = (await readBounded(`runs/${id}`, maxRunBytes, signalOfEnd)) as RunView | null
        if (known !== null) show(known)
        // Events contain larger runs without results, which are then read job by job.
        if (known !== null && known.state !== 'running') {
          if (known.deliveries?.every(({ state }) => state !== 'pending') ?? true) return
          // The stream ended with the run, but its webhooks are still being sent.
          await pause(deliveriesMs, signalOfEnd)
          continue
        }
        for await (const event of client.peek().watch(id, { signal: signalOfEnd })) take(event)
        if (known === null) return
      } catch (error) {
        if (signalOfEnd.aborted) return
        trouble.value = wordsOf(error)
        if (isLasting(error)) return
        await pause(reconnectMs, signalOfEnd)
      }
    }
  }

  function follow(): void {
    following.abort()
    following = new AbortController()
    void watch(following.signal)
  }

  return {
    run,
    jobs,
    trouble,
    follow,
    async cancel(jobIndex) {
      show(await client.peek().cancel(id, jobIndex))
    },
    async redeliver(deliveryId) {
      show(await client.peek().retryDelivery(id, deliveryId))
      follow()
    },
    async retry(jobIndexes) {
      try {
        let now = run.peek()
        for (const index of jobIndexes) {
          // A job that waits for another retried job becomes blocked with the other's retry.
          if (now?.jobs[index]?.state === 'blocked') continue
          now = await client.peek().retry(id, index)
          show(now)
        }
      } finally {
        follow()
      }
    },
    stop() {
      following.abort()
      clearTimeout(timer)
    },
  }
}

interface JobSignals extends LiveJob {
  readonly view: Signal<JobView>
  readonly progress: Signal<number | null>
}

/** A change of state does not contain the progress of a running job, and must not reset it. */
function update(known: JobSignals | undefined, job: JobView): void {
  if (known === undefined) return
  known.view.value = job
  if (job.state !== 'running' || job.progress !== null) known.progress.value = job.progress
}

/** The run does not exist, or the key is refused: a retry would get the same response. */
function isLasting(error: unknown): boolean {
  const status: unknown = Reflect.get(Object(error), 'status')
  return typeof status === 'number' && status >= 400 && status < 500 && status !== 429
}

function pause(ms: number, end: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    end.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
