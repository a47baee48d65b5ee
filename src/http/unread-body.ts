/** What becomes of a body that nobody will read because its request was answered before. */
import type { Context } from 'koa'

/** A body up to this is read and dropped, and the connection can go on; above it, the connection is closed. */
const maxDroppedBytes = 65_536

/** Call it before the answer is sent. Does nothing where the whole request is in. */
export function dropBody(ctx: Context): void {
  const { req } = ctx
  if (req.complete) return
  const { 'content-length': announced = '0', 'transfer-encoding': coding } = req.headers
  if (coding !== undefined || Number(announced) > maxDroppedBytes) ctx.set('Connection', 'close')
  // A reader that has given up leaves it paused, and the client waiting to send.
  req.unpipe()
  req.resume()
}
