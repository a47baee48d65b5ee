/** Clients that ask before they send their body (RFC 9110, 10.1.1): they hear `100 Continue` when it is to be read. */
import type { IncomingMessage, ServerResponse } from 'node:http'

const asking = new WeakSet<IncomingMessage>()

/** Node leaves the answer to us. An answer without the go-ahead ends the connection, which Node sees to. */
export function noteExpectation(request: IncomingMessage): void {
  asking.add(request)
}

/** Call it when nothing but the body itself can still be refused. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (asking.delete(request)) response.writeContinue()
}
