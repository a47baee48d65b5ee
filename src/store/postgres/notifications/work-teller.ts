/**
 * Tells other processes of jobs that are left to claim, at once or later, and of how many there are: behind the commit, for with a hint no
 * commit need wait for those of others, and who misses it looks within a second. One is under way at a time, with what
 * was to be told meanwhile in the next.
 */
import { encodeNotice } from './notices.ts'

export interface WorkTeller {
  /** @param live of the writer. @param leaves whether there are jobs, of which nobody was told */
  note(live: number, leaves: 'none' | 'later' | 'due'): void
}

/** So many jobs that start as they are accepted others need not hear of at once. */
const maxUntold = 100

export function createWorkTeller(
  from: number,
  writer: number,
  send: (messages: readonly string[]) => Promise<unknown>,
): WorkTeller {
  let told = 0
  let next: { readonly live: number; readonly hasWork: boolean } | null = null
  let sending: Promise<void> | null = null

  async function sendAll(): Promise<void> {
    while (next !== null) {
      const { live, hasWork } = next
      next = null
      told = live
      await send(encodeNotice({ type: 'commit', from, writer, live, hasWork, changes: [], voided: [] })).catch(() => {})
    }
    sending = null
  }

  return {
    note(live, leaves) {
      if (leaves === 'none' && live - told < maxUntold) return
      next = { live, hasWork: leaves !== 'none' || next?.hasWork === true }
      sending ??= sendAll()
    },
  }
}
