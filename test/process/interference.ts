/** Cancels jobs of a load while they run, mostly queues them again, and knows which outcomes that can have caused. */
import type { Random } from '../harness/random.ts'
import { jobKey } from './executions.ts'

export interface Interference {
  /**
   * Now and then cancels a job of a run that was just answered. Whatever comes of the requests is fine: the process may
   * be killed in the middle.
   */
  disturb(post: (path: string) => Promise<Response>, runId: string): Promise<void>
  /** Whether the job may end as cancelled: a cancel was sent, and no retry was accepted after its reply. */
  mayBeCancelled(key: string): boolean
  /** Whether a retry was sent, so that a final job may have gone on. */
  mayGoOn(key: string): boolean
}

/** Every run of the load has it, and it is not the one that is answered. */
const jobIndex = 1

export function createInterference(random: Random): Interference {
  const cancelled = new Set<string>()
  const retried = new Set<string>()

  async function ask(post: Promise<Response>): Promise<number> {
    try {
      const response = await post
      await response.body?.cancel()
      return response.status
    } catch {
      return 0
    }
  }

  return {
    async disturb(post, runId) {
      if (!random.chance(0.4)) return
      const path = `/runs/${runId}/jobs/${jobIndex}`
      const key = jobKey({ runId, jobIndex })
      cancelled.add(key)
      const [retries, waits] = [random.chance(0.8), random.chance(0.5)]
      const cancelling = ask(post(`${path}/cancel`))
      const reply = waits ? await cancelling : 0
      if (retries) {
        retried.add(key)
        const status = await ask(post(`${path}/retry`))
        // Sent at once, the cancel can also come after the retry.
        if (reply === 202 && status === 202) cancelled.delete(key)
      }
      await cancelling
    },
    mayBeCancelled: (key) => cancelled.has(key),
    mayGoOn: (key) => retried.has(key),
  }
}
