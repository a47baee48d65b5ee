/** The head of a response that is a stream of server-sent events. */

export const eventStreamType = 'text/event-stream'

export const eventStreamHead = {
  'Content-Type': `${eventStreamType}; charset=utf-8`,
  'Cache-Control': 'no-store',
  // Tells nginx, and those who do the same, to pass each event on.
  'X-Accel-Buffering': 'no',
}
