/** Receives the notifications of other processes on a connection of its own. While that is lost, notifications may be missed. */
import type { Connect, Connection } from '../connection/connection.ts'

export interface Listener {
  /** Resolves when it listens. @throws DatabaseFailure */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface ListenerOptions {
  readonly connect: Connect
  readonly channel: string
  readonly onMessage: (text: string) => void
  /** It listens again, and may have missed something. */
  readonly onGap: () => void
}

const firstPauseMs = 250
const maxPauseMs = 5_000
/** A query shows whether the connection still works. */
const probeMs = 5_000

export function createListener({ connect, channel, onMessage, onGap }: ListenerOptions): Listener {
  let connection: Connection | null = null
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  let pauseMs = firstPauseMs

  async function listen(): Promise<void> {
    const fresh = await connect('listen')
    fresh.onNotification(onMessage)
    await fresh.query({ text: `LISTEN "${channel}"` })
    if (isStopped) return fresh.end()
    connection = fresh
    pauseMs = firstPauseMs
    fresh.onLost(again)
    timer = setTimeout(probe, probeMs, fresh)
  }

  function probe(probed: Connection): void {
    // `onLost` reports a failure.
    void probed.query({ text: 'SELECT 1' }).then(
      () => {
        if (probed === connection && !isStopped) timer = setTimeout(probe, probeMs, probed)
      },
      () => {},
    )
  }

  function again(): void {
    clearTimeout(timer)
    connection = null
    if (isStopped) return
    timer = setTimeout(() => void listen().then(onGap, again), pauseMs)
    pauseMs = Math.min(maxPauseMs, pauseMs * 2)
  }

  return {
    start: listen,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await connection?.end()
    },
  }
}
