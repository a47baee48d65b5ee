/**
 * One run as it changes, from its event stream. Each job has signals of its own, which keep their values while it is as it
 * was, so that of a thousand lanes only those are drawn again that have changed; and what comes in quick succession is
 * shown together.
 */
import { batch, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { JobView, RunView, WatchEvent } from 'forerunner/client'
import { writeJson } from '../../src/domain/json.ts'
import { readBounded } from '../shell/bounded-read.ts'
import { client, wordsOf } from '../shell/service.ts'

export interface LiveJob {
  readonly view: ReadonlySignal<JobView>
  /** From 0 to 1; null where the job does not report any. It changes far more often than the rest. */
  readonly progress: ReadonlySignal<number | null>
}

export interface RunStore {
  /** null until it is known. */
  readonly run: ReadonlySignal<RunView | null>
  readonly jobs: ReadonlySignal<readonly LiveJob[]>
  /** In words; empty where nothing is wrong. */
  readonly trouble: ReadonlySignal<string>
  /** Begins to follow the run; again after it was changed, for the stream of a finished run has ended. */
  follow(): void
  cancel(jobIndex?: number): Promise<void>
  /** One after the other, for each is a change of the run. */
  retry(jobIndexes: readonly number[]): Promise<void>
  /** Has a webhook of the run sent again. */
  redeliver(deliveryId: string): Promise<void>
  stop(): void
}

/** A page has no use for more at once. */
const maxRunBytes = 2 * 2 ** 20
const reconnectMs = 3_000
const deliveriesMs = 2_000
/** Between two times that what has come is shown: nobody reads faster, and a large run brings hundreds in it. */
const showEveryMs = (jobs: number): number => (jobs < 100 ? 50 : 500)

export function createRunStore(id: string): RunStore {
  const run = signal<RunView | null>(null)
  const jobs = signal<readonly JobSignals[]>([])
  const trouble = signal('')
  let following = new AbortController()
  /** What has come and is not shown yet. */
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
        // Faster than a look at each member, and the service writes the same job in the same way.
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
        // Before the stream, which may have no place left, and after its end: events leave large results out.
        const known = (await readBounded(`runs/${id}`, maxRunBytes, signalOfEnd)) as RunView | null
        if (known !== null) show(known)
        // Of what is larger, the events have all but the results, which are read job by job.
        if (known !== null && known.state !== 'running') {
          if (known.deliveries?.every(({ state }) => state !== 'pending') ?? true) return
          // The stream has ended with the run, and its webhooks go on.
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
          // One that waits for another of them is blocked again with that one's retry.
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

/** A change of state that comes without the progress of a running job must not take it back. */
function update(known: JobSignals | undefined, job: JobView): void {
  if (known === undefined) return
  known.view.value = job
  if (job.state !== 'running' || job.progress !== null) known.progress.value = job.progress
}

/** A run that is not there, or a key that is not known: asking again brings the same. */
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
