/** When the pool is no longer worth sending work to: a supervisor should then start the process anew. */
import type { PoolThread } from './pool-thread.ts'

/** A thread that was killed so long ago and is still there is stuck in native code: a zombie, whose slot is held back. */
const zombieAfterMs = 2_000
const unusableLimitMs = 30_000

type Seen = Pick<PoolThread, 'kind' | 'state' | 'unreadySince'>

export function countZombies(threads: readonly Seen[], nowMs: number): number {
  return threads.filter(({ state, unreadySince }) => state === 'dying' && isOlder(unreadySince, nowMs - zombieAfterMs))
    .length
}

/**
 * @returns what is wrong: most threads are zombies, one does not come back although that is tried again and again, or
 * for 30 s no `cpu` thread took jobs or all `io` threads were killed and stuck; null when nothing is
 */
export function findIllness(threads: readonly Seen[], nowMs: number): string | null {
  const zombies = countZombies(threads, nowMs)
  if (zombies * 2 > threads.length) return `${zombies} of ${threads.length} threads are stuck in native code`
  const isMissing = ({ state, unreadySince }: Seen): boolean =>
    state === 'starting' && isOlder(unreadySince, nowMs - unusableLimitMs)
  if (threads.some(isMissing)) return `a thread has not started for ${unusableLimitMs / 1000} s`
  const ofCpu = threads.filter(({ kind }) => kind === 'cpu')
  const isUseless =
    ofCpu.length > 0 && ofCpu.every(({ unreadySince }) => isOlder(unreadySince, nowMs - unusableLimitMs))
  if (isUseless) return `no cpu thread has taken jobs for ${unusableLimitMs / 1000} s`
  const ofIo = threads.filter(({ kind }) => kind === 'io')
  // One that is only to be replaced may wait for its last jobs as long as they like.
  const isStuck = ({ state, unreadySince }: Seen): boolean =>
    state === 'dying' && isOlder(unreadySince, nowMs - unusableLimitMs)
  return ofIo.length > 0 && ofIo.every(isStuck) ? 'all io threads are stuck in native code' : null
}

function isOlder(since: number | null, limit: number): boolean {
  return since !== null && since <= limit
}
