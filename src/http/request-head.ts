/** Parses the target and headers of a request, and makes the headers `ETag` and `Preference-Applied` of responses. */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fresh from 'fresh'
import { AppError } from '../domain/errors.ts'
import type { RunRecord } from '../domain/run.ts'

/** What a client prefers in a response (RFC 7240). Unknown and malformed preferences are ignored. */
export interface Preferences {
  /** A response at once, without a result. */
  readonly respondAsync: boolean
  /** The longest time to wait, in seconds, at most 60; null: no preference. */
  readonly waitS: number | null
  /** A short body. */
  readonly isMinimal: boolean
}

const maxWaitS = 60

// A quoted string without its end extends to the end of the field. Neither pattern can fail, so neither ever backtracks.
const betweenCommas = /(?:"(?:[^"\\]|\\.)*"?|[^",])*/gs
const betweenSemicolons = /(?:"(?:[^"\\]|\\.)*"?|[^";])*/gs
const token = String.raw`[!#$%&'*+\-.^_\x60|~\w]+`
/** A preference or one of its parameters: a name, and a value that may be empty or missing. Also matches the empty text. */
const namedValue = new RegExp(
  `^(?:(?<name>${token})(?:[ \\t]*=[ \\t]*(?<value>${token}|"(?:[^"\\\\]|\\\\.)*")?)?)?$`,
  's',
)

/**
 * The first one counts if a preference is repeated.
 * @param values of one or more `Prefer` fields, each a list
 */
export function parsePrefer(values: string | readonly string[] = []): Preferences {
  const wanted = new Map<string, string>()
  for (const preference of [values].flat().flatMap((field) => field.match(betweenCommas) ?? [])) {
    const parts = preference.match(betweenSemicolons)?.map((part) => namedValue.exec(part.trim())?.groups) ?? []
    const { name, value = '' } = parts[0] ?? {}
    if (name === undefined || parts.includes(undefined) || wanted.has(name.toLowerCase())) continue
    wanted.set(name.toLowerCase(), value.replaceAll(/^"|"$|\\(.)/gs, '$1'))
  }
  const wait = wanted.get('wait') ?? ''
  return {
    respondAsync: wanted.get('respond-async') === '',
    waitS: /^\d+$/.test(wait) ? Math.min(Number(wait), maxWaitS) : null,
    isMinimal: wanted.get('return')?.toLowerCase() === 'minimal',
  }
}

/** @returns the value of `Preference-Applied` for these preferences; null if there are none */
export function appliedPrefer({ respondAsync, waitS, isMinimal }: Preferences): string | null {
  const applied = [respondAsync && 'respond-async', waitS !== null && `wait=${waitS}`, isMinimal && 'return=minimal']
  return applied.filter((each) => each !== false).join(', ') || null
}

const maxKeyLength = 255
const quotedKey = /^"(?<inner>(?:[ !#-[\]-~]|\\["\\])*)"$/
const bareKey = /^[!#-~][ !#-~]*$/

/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a quoted string (RFC 8941, 3.3.3) or the bare key.
 * @param values of the header, one per field line
 * @returns the key, 1 to 255 characters, without quotes; null if there is no such header
 * @throws AppError `idempotency-key-invalid`
 */
export function parseIdempotencyKey(values: readonly string[] = []): string | null {
  const [text, ...more] = values.map((value) => value.trim())
  if (text === undefined) return null
  if (more.length > 0) throw invalidKey('the header was sent more than once')
  const key = bareKey.test(text) ? text : quotedKey.exec(text)?.groups?.['inner']?.replaceAll(/\\(["\\])/g, '$1')
  if (key === undefined) throw invalidKey('it must be a quoted string, or printable ASCII without quotes around it')
  if (key.length === 0 || key.length > maxKeyLength) throw invalidKey(`it has ${key.length} characters`)
  return key
}

function invalidKey(detail: string): AppError {
  const bounds = `1 to ${maxKeyLength} characters are a key`
  return new AppError('idempotency-key-invalid', `Idempotency-Key: ${detail}; ${bounds}`)
}

const digestLength = 22

/** The entity tag (RFC 9110, 8.8.3) of a run. It is weak because progress does not change the version. */
export function tagOfVersion(version: number): string {
  return `W/"${version}"`
}

/** Includes the deliveries, which change without a new version of the run. */
export function tagOfRun({ version, deliveries = [] }: Pick<RunRecord, 'version' | 'deliveries'>): string {
  if (deliveries.length === 0) return tagOfVersion(version)
  const digest = hash('sha256', JSON.stringify(deliveries), 'base64url').slice(0, digestLength)
  return `W/"${version}-${digest}"`
}

export function tagOfText(text: string): string {
  return `"${hash('sha256', text, 'base64url').slice(0, digestLength)}"`
}

/**
 * Whether a client that sent this `If-None-Match` already has the version with this entity tag. `ctx.fresh` is of no use: it
 * obeys `Cache-Control: no-cache`, which every `fetch` sends along with an `If-None-Match` of its caller
 * (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), so such a client would never get 304.
 * @param ifNoneMatch empty: the request has no such header
 */
export function isNotModified(ifNoneMatch: string, tag: string): boolean {
  return fresh({ 'if-none-match': ifNoneMatch }, { etag: tag })
}

/** `; charset=utf-8`, `; charset="utf-8"`, or a semicolon alone. No blanks are allowed around `=` (RFC 9110, 8.3.1). */
const parameter = /;[ \t]*(?:(?<name>[!#$%&'*+\-.^_`|~\w]+)=(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<bare>[^\s";,]*)))?/y
const jsonType = /^[ \t]*application\/json[ \t]*(?=;|$)/i

/** Accepts every label of UTF-8 as the charset (https://encoding.spec.whatwg.org). */
export function isJsonInUtf8(contentType: string): boolean {
  const type = jsonType.exec(contentType)
  return type !== null && charsetsIn(contentType.slice(type[0].length)).every(isUtf8Label)
}

/** All values of the parameter `charset`. Each match begins at `lastIndex` and moves it on; a failure sets it to 0. */
function charsetsIn(parameters: string): string[] {
  const charsets: string[] = []
  parameter.lastIndex = 0
  while (parameter.lastIndex < parameters.length) {
    const at = parameter.lastIndex
    const { name, quoted, bare } = parameter.exec(parameters)?.groups ?? {}
    if (name?.toLowerCase() === 'charset') charsets.push(quoted?.replaceAll(/\\(.)/gs, '$1') ?? bare ?? '')
    if (parameter.lastIndex > at) continue
    // The parameter is malformed: skip it, up to the next semicolon.
    const next = parameters.indexOf(';', at + 1)
    parameter.lastIndex = next === -1 ? parameters.length : next
  }
  return charsets
}

function isUtf8Label(label: string): boolean {
  try {
    return new TextDecoder(label).encoding === 'utf-8'
  } catch {
    return false
  }
}

/** Supported codings (RFC 9110, 8.4). */
const codings = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd'] as const
export type Coding = (typeof codings)[number]

/** The value of `Accept-Encoding` in a response to a request with another coding. */
export const acceptedCodings = 'gzip, deflate, br, zstd, identity'

/**
 * Parses `Content-Encoding`, a list of codings.
 * @returns null: the body is not compressed; undefined: not supported, because the coding is unknown or there are several
 */
export function parseCoding(field: string): Coding | null | undefined {
  const [first, ...more] = field
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
  if (first === undefined) return null
  return more.length === 0 ? codings.find((known) => known === first) : undefined
}

/**
 * Removes the prefix from the path of a request, unless the host app has removed it already, as `app.use('/jobs', …)` of
 * Express does.
 * @param originalUrl the URL of the request before the host app changed it
 * @returns undefined for a path that does not begin with the prefix
 */
export function withoutPrefix(prefix: string, path: string, originalUrl: string): string | undefined {
  if (prefix === '') return path
  const full = [path, originalUrl.replace(/[?#].*$/, '')].find(
    (each) => each === prefix || each.startsWith(`${prefix}/`),
  )
  return full === undefined ? undefined : full.slice(prefix.length) || '/'
}

/** The URL of a request before its host app changed it. Express, Koa and middie note it in the request. */
export function originalUrlOf(incoming: IncomingMessage, fallback = incoming.url ?? ''): string {
  const noted: unknown = Reflect.get(incoming, 'originalUrl')
  return typeof noted === 'string' ? noted : fallback
}

const absoluteUrl = /^https?:\/\/[^/?#]+(?<rest>.*)$/i

/**
 * Path and query of the target in a request line (RFC 9112, 3.2), or `*`. Dots in the path are not resolved, because no
 * route has any.
 * @returns undefined for an invalid target
 */
export function pathAndQueryOf(target: string): string | undefined {
  if (target.startsWith('/') || target === '*') return target
  const rest = absoluteUrl.exec(target)?.groups?.['rest']
  if (rest === undefined || !URL.canParse(target)) return undefined
  return rest.startsWith('/') ? rest : `/${rest}`
}
