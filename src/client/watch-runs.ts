/** When runs change, of whatever number: over one connection. */
import { connect } from './event-connection.ts'
import type { Send } from './transport.ts'
import type { WatchOptions } from './watch.ts'

/** The service sends something every 15 s. */
const silenceLimitMs = 45_000

/** Ends, or throws, with its connection. */
export async function* watchRuns(
  send: Send,
  { signal }: WatchOptions = {},
): AsyncGenerator<{ readonly changes: number }, void, undefined> {
  const connection = await connect(send, { path: '/runs/events', lastEventId: '', silenceLimitMs, signal })
  if (connection === null) return
  for await (const { name, data } of connection.events) {
    if (name === 'changes') yield JSON.parse(data) as { readonly changes: number }
  }
}
