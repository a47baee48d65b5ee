/** Shows why a job waits. It polls, because the reason can change without a change of the job. */
import { useSignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { client } from '../shell/service.ts'
import { secondNow } from '../time/clock.ts'
import { whyOf } from './why.ts'

const pollMs = 2_000

export function WhyWaiting({ runId, job }: { readonly runId: string; readonly job: JobView }) {
  const newest = useSignal<JobView | null>(null)
  useEffect(() => {
    const end = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      newest.value = await client.peek().getJob(runId, job.index, { signal: end.signal })
      timer = setTimeout(() => void look().catch(() => {}), pollMs)
    }
    // Otherwise the sentence is based on the last event.
    look().catch(() => {})
    return () => {
      end.abort()
      clearTimeout(timer)
    }
  }, [runId, job.index, job.state])
  const known = newest.value
  return <span class="why">{whyOf(known?.state === job.state ? known : job, secondNow.value)}</span>
}
