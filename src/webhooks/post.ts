/**
 * One try to send a webhook. The receiver has a bounded time for its whole answer, of which only the status counts. No
 * redirect is followed, and no connection is made to an address that is not public, under any name: the
 * address is checked after it was looked up, at every try. `fetch` takes no agent that could check it.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { BlockList, isIPv6, type LookupFunction } from 'node:net'
import { createGate } from '../runtime/event-loop.ts'

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
/** Interim responses (1xx) before an answer. A receiver that sends them without end would keep the main thread busy. */
const maxInterim = 100

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

  /** Before the agent's own check of the same addresses. */
  const lookUpGlobal: LookupFunction = (name, options, found) =>
    lookup(name, options, (error, addresses, family) => {
      const all = typeof addresses === 'string' ? [addresses] : (addresses ?? []).map(({ address }) => address)
      const refused = all.find(isOutsideGlobal)
      if (refused === undefined) found(error, addresses, family)
      else found(new Error(`${name} leads to ${refused}, which is not allowed`), '')
    })

  return async (url, { headers, body }, signal) => {
    const address = new URL(url)
    const literal = address.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivate && isOutsideGlobal(literal)) return { status: null, reason: `${address.host} is not allowed` }
    sending ??= load()
    const request = await sending
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const fail = (reason: string): void => resolve({ status: null, reason })
    const length = { 'Content-Length': String(Buffer.byteLength(body)) }
    const asked = request(address, {
      method: 'POST',
      headers: { ...headers, ...length },
      signal,
      lookup: allowPrivate ? lookup : lookUpGlobal,
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
    let interim = 0
    asked.on('information', () => {
      interim += 1
      if (interim <= maxInterim) return
      fail(`more than ${maxInterim} interim responses came`)
      asked.destroy()
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

/** What is assigned to hosts of IPv6 anywhere. The agent knows what is special in it, and less of what is outside of it. */
const global = new BlockList()
global.addSubnet('2000::', 3, 'ipv6')

/** Loopback, an address of IPv4 within one of IPv6, a private or unassigned one, in any notation, with a zone or without. */
function isOutsideGlobal(address: string): boolean {
  const [bare = ''] = address.split('%')
  return isIPv6(bare) && !global.check(bare, 'ipv6')
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

/** Finds all addresses of a name. */
export type FindAddresses = (name: string) => Promise<readonly LookupAddress[]>

const maxLookups = 2

/**
 * Few names at once: each lookup holds one of libuv's few threads, for many seconds where a name server does not answer, and
 * tasks need these threads for files.
 * @param find default: as the system does
 */
export function createLookup(find: FindAddresses = findAddresses): LookupFunction {
  const underWay = new Map<string, Promise<readonly LookupAddress[]>>()
  const inTurn = createGate(maxLookups)

  /** Those that ask for the same name meanwhile share the answer. */
  function addressesOf(name: string): Promise<readonly LookupAddress[]> {
    const shared = underWay.get(name) ?? inTurn(() => find(name)).finally(() => underWay.delete(name))
    underWay.set(name, shared)
    return shared
  }

  return (name, { all }, found) => {
    addressesOf(name).then(
      (addresses) => {
        const [first] = addresses
        if (all === true) found(null, [...addresses])
        else found(null, first?.address ?? '', first?.family)
      },
      (error: NodeJS.ErrnoException) => found(error, ''),
    )
  }
}

function findAddresses(name: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(name, { all: true }, (error, addresses) => {
      if (error === null) resolve(addresses)
      else reject(error)
    })
  })
}
