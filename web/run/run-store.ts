/**
 * One run as it changes, from its event stream. Each job has a signal of its own, which keeps its value while the job is
 * as it was, so that of a thousand lanes only those are drawn again that have changed.
 */
import { batch, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { JobView, RunView, WatchEvent } from 'forerunner/client'
import { client, wordsOf } from '../shell/service.ts'

export interface RunStore {
  /** null until it is known. */
  readonly run: ReadonlySignal<RunView | null>
  readonly jobs: ReadonlySignal<readonly Signal<JobView>[]>
  /** In words; empty where nothing is wrong. */
  readonly trouble: ReadonlySignal<string>
  /** Begins to follow the run; again after it was changed, for the stream of a finished run has ended. */
  follow(): void
  cancel(jobIndex?: number): Promise<void>
  retry(jobIndex: number): Promise<void>
  stop(): void
}

const reconnectMs = 3_000

export function createRunStore(id: string): RunStore {
  const run = signal<RunView | null>(null)
  const jobs = signal<readonly Signal<JobView>[]>([])
  const trouble = signal('')
  let following = new AbortController()

  function show(next: RunView): void {
    const known = run.peek()
    if (known !== null && next.version < known.version) return
    batch(() => {
      const signals = jobs.peek()
      if (signals.length === next.jobs.length) {
        for (const [index, job] of next.jobs.entries()) update(signals[index], job)
      } else jobs.value = next.jobs.map((job) => signal(job))
      run.value = next
      trouble.value = ''
    })
  }

  function take(event: WatchEvent): void {
    if (event.type === 'run') return show(event.run)
    const job = jobs.peek()[event.jobIndex]
    if (job !== undefined && job.peek().state === 'running') job.value = { ...job.peek(), progress: event.progress }
  }

  async function watch(signalOfEnd: AbortSignal): Promise<void> {
    while (!signalOfEnd.aborted) {
      try {
        for await (const event of client.peek().watch(id, { signal: signalOfEnd })) take(event)
        // Once more, whole: events leave large results out.
        show(await client.peek().getRun(id, { signal: signalOfEnd }))
        if (run.peek()?.state !== 'running') return
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
    async retry(jobIndex) {
      show(await client.peek().retry(id, jobIndex))
      follow()
    },
    stop: () => following.abort(),
  }
}

/** Progress is not part of what is compared: a change of state that comes without it must not take it back. */
function update(known: Signal<JobView> | undefined, job: JobView): void {
  if (known === undefined) return
  const before = known.peek()
  const next = job.state === 'running' && job.progress === null ? { ...job, progress: before.progress } : job
  if (JSON.stringify(before) !== JSON.stringify(next)) known.value = next
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
