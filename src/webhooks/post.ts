/**
 * One try to send a webhook. The whole response must arrive within a limit; only its status counts. Redirects are not
 * followed. No connection is made to an address that is not public: each try looks up the name and checks the addresses.
 * `fetch` is not used because it takes no agent that could check them.
 */
import { createHmac } from 'node:crypto'
import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { BlockList, isIPv6, type LookupFunction } from 'node:net'
import { keyOf } from '../domain/webhook.ts'
import { createGate } from '../runtime/event-loop.ts'
import { version } from '../runtime/package.ts'

export interface PostOptions {
  /** Whether addresses may be private, loopback or link-local. */
  readonly allowPrivate: boolean
  /** For the whole response; default 15 s. */
  readonly timeoutMs?: number
  /** Looks up the addresses of a name; default: the system's lookup. */
  readonly lookup?: LookupFunction
}

export interface Message {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The status of a whole response, or the reason why there was none. */
export type PostResult = { readonly status: number } | { readonly status: null; readonly reason: string }

export type Post = (url: string, message: Message, signal: AbortSignal) => Promise<PostResult>

const defaultTimeoutMs = 15_000
/** The rest of a longer response is not read. */
const maxResponseBytes = 65_536
/** Interim responses (1xx) before the final one. An endless series of them would keep the main thread busy. */
const maxInterim = 100

export function createPost({ allowPrivate, timeoutMs = defaultTimeoutMs, lookup = createLookup() }: PostOptions): Post {
  let loading: ReturnType<typeof loadRequest> | undefined

  /** Loaded with the first try: most services send no webhook. */
  async function loadRequest(): Promise<(url: URL, options: RequestOptions) => ClientRequest> {
    const [http, https, agents] = await Promise.all([
      import('node:http'),
      import('node:https'),
      import('request-filtering-agent'),
    ])
    // A kept connection would skip the lookup, and with it the check of the address.
    const options = { keepAlive: false, allowPrivateIPAddress: allowPrivate, allowMetaIPAddress: allowPrivate }
    const httpAgent = new agents.RequestFilteringHttpAgent(options)
    const httpsAgent = new agents.RequestFilteringHttpsAgent(options)
    return (url, given) =>
      url.protocol === 'https:'
        ? https.request(url, { ...given, agent: httpsAgent })
        : http.request(url, { ...given, agent: httpAgent })
  }

  /** Fails for a name with a reserved IPv6 address, which the agent would accept. */
  const lookUpPublic: LookupFunction = (name, options, found) =>
    lookup(name, options, (error, addresses, family) => {
      const all = typeof addresses === 'string' ? [addresses] : (addresses ?? []).map(({ address }) => address)
      const reserved = all.find(isReservedIPv6)
      if (reserved === undefined) found(error, addresses, family)
      else found(new Error(`${name} leads to ${reserved}, which is not allowed`), '')
    })

  return async (url, { headers, body }, signal) => {
    const address = new URL(url)
    // An address in place of a name is not looked up, so it is checked here.
    const literal = address.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivate && isReservedIPv6(literal)) return { status: null, reason: `${address.host} is not allowed` }
    loading ??= loadRequest()
    const send = await loading
    const { promise, resolve } = Promise.withResolvers<PostResult>()
    const fail = (reason: string): void => resolve({ status: null, reason })
    const request = send(address, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': String(Buffer.byteLength(body)) },
      signal,
      lookup: allowPrivate ? lookup : lookUpPublic,
    })
    const timer = setTimeout(() => {
      fail(`there was no response within ${timeoutMs} ms`)
      request.destroy()
    }, timeoutMs)
    let closeReason = 'the connection was closed without a response'
    request.on('response', (response) => {
      closeReason = 'the response broke off'
      read(response, resolve)
    })
    let interim = 0
    request.on('information', () => {
      interim += 1
      if (interim <= maxInterim) return
      fail(`more than ${maxInterim} interim responses came`)
      request.destroy()
    })
    request.on('error', (error) => fail(error.message))
    request.on('close', () => fail(closeReason))
    request.end(body)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      request.destroy()
    }
  }
}

/** Public IPv6 addresses are assigned from this range. The agent checks the special ranges inside it, but few outside. */
const publicIPv6 = new BlockList()
publicIPv6.addSubnet('2000::', 3, 'ipv6')

/** Whether it is an IPv6 address outside the public range, in any notation, with or without a zone such as `%eth0`. */
function isReservedIPv6(address: string): boolean {
  const [withoutZone = ''] = address.split('%')
  return isIPv6(withoutZone) && !publicIPv6.check(withoutZone, 'ipv6')
}

/** Resolves to the status once the response has ended or is too long. Only the first call of `resolve` has an effect. */
function read(response: IncomingMessage, resolve: (result: PostResult) => void): void {
  const status = response.statusCode ?? 0
  let bytes = 0
  response.on('error', () => {})
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxResponseBytes) resolve({ status })
  })
  response.on('end', () => resolve({ status }))
}

export interface SignOptions {
  /** Id of the delivery; the same for each of its tries. */
  readonly id: string
  /** Instant of the try, in epoch milliseconds. */
  readonly at: number
  /** Each of them signs the message. */
  readonly secrets: readonly string[]
}

/** Adds the headers of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. */
export function signMessage(body: string, { id, at, secrets }: SignOptions): Message {
  const timestamp = String(Math.floor(at / 1_000))
  const signed = `${id}.${timestamp}.${body}`
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`,
  )
  const headers = {
    'Content-Type': 'application/json',
    'User-Agent': `Forerunner/${version}`,
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
  return { headers, body }
}

/** Finds all addresses of a name. */
export type FindAddresses = (name: string) => Promise<readonly LookupAddress[]>

const maxLookups = 2

/**
 * Bounds the lookups under way: each one holds one of libuv's few threads, for many seconds if a name server does not
 * respond, and tasks need these threads for files.
 * @param find default: the system's lookup
 */
export function createLookup(find: FindAddresses = findAddresses): LookupFunction {
  const underWay = new Map<string, Promise<readonly LookupAddress[]>>()
  const inTurn = createGate(maxLookups)

  /** Requests for the same name share one lookup. */
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
