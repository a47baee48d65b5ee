/**
 * Announces changes of runs, through one event stream for all tabs of the browser: the tab that holds a lock reads the
 * stream and passes its events on. Without locks (plain HTTP, other than localhost) each tab reads its own stream. A hidden
 * tab reads nothing.
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

/** @returns a function that stops it */
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

/** Data is not passed on: each tab fetches with its own key. */
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
  // Absent in insecure contexts, although the types say otherwise.
  const locks = navigator.locks as LockManager | undefined
  const ended = locks === undefined ? read(signal) : locks.request(name, { signal }, () => read(signal))
  // The lock is held until it is aborted.
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
      // The next request of the page fails for the same reason, and shows it.
    }
    if (signal.aborted) return
    tellAll()
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    pauseMs = Math.min(maxPauseMs, pauseMs * 2)
  }
}
