/** What happens between opening the store and the first claim: jobs of a dead process are taken back. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'

const maxAloneMs = 30_000

/**
 * Rescues, and starts the dispatcher: at once where nothing is suspect, else after the suspects have run alone, so
 * that one more death can be blamed on the right job. Resolves when the rescue is committed.
 */
export async function recover(store: Store, dispatcher: Dispatcher, clock: Clock, log: Log): Promise<void> {
  const { requeued, crashed, suspects } = await store.rescue(clock.now())
  if (requeued + crashed > 0) log.warn({ requeued, crashed, suspects }, 'took back the jobs of a process that died')
  if (suspects === 0) {
    dispatcher.start()
    return
  }
  const alone = dispatcher
    .runSuspects()
    .catch((error: unknown) => log.error({ err: error }, 'the suspect jobs could not be claimed'))
  // A process that dies of its job mostly does so soon; the others are not to wait for a long one.
  void Promise.race([alone, sleep(maxAloneMs, undefined, { ref: false })]).then(() => dispatcher.start())
}
