/**
 * Notices that nothing comes back from libuv's threads any more, on which file systems, compression, DNS look-ups and
 * much of `crypto` work for all threads of the process: native calls of tasks that do not return have taken them all.
 */
import { randomFill } from 'node:crypto'
import type { Log } from '../log.ts'

export interface NativeWatchOptions {
  /** How long the smallest call may take before libuv's threads count as stuck, in milliseconds; default 10 000. */
  readonly stuckAfterMs?: number
  readonly log: Log
}

const probesPerLimit = 10
/** Of the latest. */
const maxNames = 20

export function createNativeWatch({ stuckAfterMs = 10_000, log }: NativeWatchOptions) {
  const scrap = Buffer.alloc(1)
  /** In the order in which they did last. */
  const timedOut = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let askedAt: number | null = null
  /** Looks without an answer: counted, because after a main thread that stood still the answer may lie ready. */
  let looks = 0
  const isStuck = (): boolean => looks >= probesPerLimit

  function look(): void {
    if (askedAt === null) {
      askedAt = performance.now()
      randomFill(scrap, comeBack)
      return
    }
    looks += 1
    if (looks !== probesPerLimit) return
    const message = 'native calls of tasks hold all of libuv’s threads: no call of fs, zlib or dns comes back'
    log.error({ timedOut: [...timedOut] }, message)
  }

  function comeBack(): void {
    if (isStuck()) {
      log.info('libuv’s threads work again')
      timedOut.clear()
    }
    askedAt = null
    looks = 0
  }

  return {
    start(): void {
      timer = setInterval(look, stuckAfterMs / probesPerLimit).unref()
    },
    stop: (): void => clearInterval(timer),
    /** A task has had its time, and its native calls may go on. */
    noteTimeout(task: string): void {
      timedOut.delete(task)
      timedOut.add(task)
      const [oldest] = timedOut
      if (timedOut.size > maxNames && oldest !== undefined) timedOut.delete(oldest)
    },
    /** How long nothing has come back, in milliseconds; 0 while all is well. */
    stuckMs: (): number => (isStuck() && askedAt !== null ? performance.now() - askedAt : 0),
  }
}
