/**
 * Says when runs change, by one event stream for all tabs of the browser: the tab that has the lock reads it, and passes on
 * what it says. Where browsers have no locks (plain HTTP, other than localhost) each tab reads a stream of its own.
 * A hidden tab reads nothing.
 */
import { baseUrl, client, needsKey } from './service.ts'

const name = `forerunner-changes ${baseUrl.pathname}`
const firstPauseMs = 1_000
const maxPauseMs = 8_000

const channel = new BroadcastChannel(name)
const listeners = new Set<() => void>()
let reading: AbortController | null = null

channel.addEventListener('message', notify)
document.addEventListener('visibilitychange', follow)

/** @returns ends it */
export function onChanges(listener: () => void): () => void {
  listeners.add(listener)
  follow()
  return () => {
    listeners.delete(listener)
    follow()
  }
}

function notify(): void {
  for (const listener of listeners) listener()
}

/** Data is not passed on: each tab asks with its own key. */
function tellAll(): void {
  notify()
  channel.postMessage('changes')
}

function follow(): void {
  const isWanted = listeners.size > 0 && !document.hidden
  if (isWanted === (reading !== null)) return
  reading?.abort()
  reading = isWanted ? new AbortController() : null
  if (reading === null) return
  const { signal } = reading
  // Absent in contexts that are not secure, whatever the types say.
  const locks = navigator.locks as LockManager | undefined
  const ended = locks === undefined ? read(signal) : locks.request(name, { signal }, () => read(signal))
  // It ends by being aborted.
  ended.catch(() => {})
}

async function read(signal: AbortSignal): Promise<void> {
  let pauseMs = firstPauseMs
  while (!signal.aborted && !needsKey.value) {
    try {
      const changes = client.peek().watchRuns({ signal })
      while ((await changes.next()).done !== true) {
        pauseMs = firstPauseMs
        tellAll()
      }
    } catch {
      // Whoever asks now learns why, and says it.
    }
    if (signal.aborted) return
    tellAll()
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    pauseMs = Math.min(maxPauseMs, pauseMs * 2)
  }
}
