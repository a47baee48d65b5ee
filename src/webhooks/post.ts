/**
 * One try to send a webhook. The receiver has a bounded time for its whole answer, of which only the status counts. No
 * redirect is followed, and no connection is made to an address that is not public, whatever name leads there: the
 * address is checked after it was looked up, at every try. `fetch` takes no agent that could check it.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { BlockList, type LookupFunction } from 'node:net'
import { createLookup } from './lookup.ts'

export interface PostOptions {
  /** Whether addresses may be private, loopback or link-local. */
  readonly allowPrivate: boolean
  /** For the whole answer; default 15 s. */
  readonly timeoutMs?: number
  /** Looks up addresses of names; default: as the system does. */
  readonly lookup?: LookupFunction
}

export interface Message {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The status of a whole answer, or why there was none. */
export type Answer = { readonly status: number } | { readonly status: null; readonly reason: string }

export type Post = (url: string, message: Message, signal: AbortSignal) => Promise<Answer>

const answerMs = 15_000
/** Of an answer, more is not read. */
const maxAnswerBytes = 65_536

export function createPost({ allowPrivate, timeoutMs = answerMs, lookup = createLookup() }: PostOptions): Post {
  let sending: ReturnType<typeof load> | undefined

  /** When the first one is sent: most services send none. */
  async function load(): Promise<(url: URL, options: RequestOptions) => ClientRequest> {
    const [http, https, agents] = await Promise.all([
      import('node:http'),
      import('node:https'),
      import('request-filtering-agent'),
    ])
    // Each try has a connection of its own, so that each looks up the address and has it checked.
    const options = { keepAlive: false, allowPrivateIPAddress: allowPrivate, allowMetaIPAddress: allowPrivate }
    const plain = new agents.RequestFilteringHttpAgent(options)
    const secure = new agents.RequestFilteringHttpsAgent(options)
    return (url, given) =>
      url.protocol === 'https:'
        ? https.request(url, { ...given, agent: secure })
        : http.request(url, { ...given, agent: plain })
  }

  return async (url, { headers, body }, signal) => {
    const address = new URL(url)
    if (!allowPrivate && isCompatible(address)) return { status: null, reason: `${address.host} is not allowed` }
    sending ??= load()
    const request = await sending
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const fail = (reason: string): void => resolve({ status: null, reason })
    const length = { 'Content-Length': String(Buffer.byteLength(body)) }
    const asked = request(address, {
      method: 'POST',
      headers: { ...headers, ...length },
      signal,
      lookup,
    })
    const timer = setTimeout(() => {
      fail(`there was no answer within ${timeoutMs} ms`)
      asked.destroy()
    }, timeoutMs)
    let closed = 'the connection was closed without an answer'
    asked.on('response', (response) => {
      closed = 'the answer broke off'
      read(response, resolve)
    })
    asked.on('error', (error) => fail(error.message))
    asked.on('close', () => fail(closed))
    asked.end(body)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      asked.destroy()
    }
  }
}

/** Addresses of IPv4 in one of IPv6 that the agent takes for public ones when they are written in hexadecimal. */
const compatible = new BlockList()
compatible.addSubnet('::', 96, 'ipv6')

function isCompatible({ hostname }: URL): boolean {
  return hostname.startsWith('[') && compatible.check(hostname.slice(1, -1), 'ipv6')
}

/** The first outcome counts. */
function read(response: IncomingMessage, resolve: (answer: Answer) => void): void {
  const status = response.statusCode ?? 0
  let bytes = 0
  response.on('error', () => {})
  response.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes > maxAnswerBytes) resolve({ status })
  })
  response.on('end', () => resolve({ status }))
}
