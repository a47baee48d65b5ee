/** Says why a job does not run yet, and looks again. */
import { useSignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { client } from '../shell/service.ts'
import { secondNow } from '../time/clock.ts'
import { whyOf, type ServiceState } from './why.ts'

const pollMs = 2_000

export function WhyWaiting({ job }: { readonly job: JobView }) {
  const known = useSignal<ServiceState | null>(null)
  useEffect(() => {
    const end = new AbortController()
    const { signal } = end
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      const { stats, recent, listTasks } = client.peek()
      const [now, minutes, tasks] = await Promise.all([stats({ signal }), recent({ signal }), listTasks({ signal })])
      known.value = { stats: now, recent: minutes, tasks }
      timer = setTimeout(() => void look().catch(() => {}), pollMs)
    }
    // Without it the sentence says less.
    look().catch(() => {})
    return () => {
      end.abort()
      clearTimeout(timer)
    }
  }, [])
  return <span class="why">{whyOf(job, known.value, secondNow.value)}</span>
}
