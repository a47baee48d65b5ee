/** What a request says before its body: its target and its headers. */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fresh from 'fresh'
import { AppError } from '../domain/errors.ts'
import type { RunRecord } from '../domain/run.ts'

/** What a client would like of a response (RFC 7240). A wish that is unknown or malformed is as good as none. */
export interface Preferences {
  /** Rather be answered at once, without a result. */
  readonly respondAsync: boolean
  /** The longest time to wait, in seconds, at most 60; null: the service decides. */
  readonly waitS: number | null
  /** Rather have a short body. */
  readonly isMinimal: boolean
}

const maxWaitS = 60

// A quoted string that is not closed reaches to the end. Neither can fail, so neither ever looks twice.
const betweenCommas = /(?:"(?:[^"\\]|\\.)*"?|[^",])*/gs
const betweenSemicolons = /(?:"(?:[^"\\]|\\.)*"?|[^";])*/gs
const token = String.raw`[!#$%&'*+\-.^_\x60|~\w]+`
/** A name, and a value that can be empty or missing; a parameter has the same form. Or nothing. */
const namedValue = new RegExp(
  `^(?:(?<name>${token})(?:[ \\t]*=[ \\t]*(?<value>${token}|"(?:[^"\\\\]|\\\\.)*")?)?)?$`,
  's',
)

/**
 * @param values of the header fields `Prefer`, one or several, each of them a list
 * @returns for a repeated preference its first value
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

/** @returns the value of `Preference-Applied` that names these; null where there is nothing to name */
export function appliedPrefer({ respondAsync, waitS, isMinimal }: Preferences): string | null {
  const applied = [respondAsync && 'respond-async', waitS !== null && `wait=${waitS}`, isMinimal && 'return=minimal']
  return applied.filter((each) => each !== false).join(', ') || null
}

const maxKeyLength = 255
const quotedKey = /^"(?<inner>(?:[ !#-[\]-~]|\\["\\])*)"$/
const bareKey = /^[!#-~][ !#-~]*$/

/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a string of RFC 8941, 3.3.3, or the key as it is.
 * @param values of the header, one per field line; undefined where it was not sent
 * @returns the key, 1 to 255 characters, without its quotes; null where none was sent
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

/** The entity tag (RFC 9110, 8.8.3) of a run: weak, for its progress is not part of its version. */
export function tagOfVersion(version: number): string {
  return `W/"${version}"`
}

/** Deliveries change while the version of their run does not. */
export function tagOfRun({ version, deliveries = [] }: Pick<RunRecord, 'version' | 'deliveries'>): string {
  if (deliveries.length === 0) return tagOfVersion(version)
  const digest = hash('sha256', JSON.stringify(deliveries), 'base64url').slice(0, digestLength)
  return `W/"${version}-${digest}"`
}

/** That of a text as it is. */
export function tagOfText(text: string): string {
  return `"${hash('sha256', text, 'base64url').slice(0, digestLength)}"`
}

/**
 * Whether a client that sent this `If-None-Match` has what the tag stands for. Not `ctx.fresh`, which heeds the request's
 * `Cache-Control: no-cache`: every `fetch` with an `If-None-Match` of its caller's sends that
 * (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), and would never be answered with 304.
 * @param field empty where there is none
 */
export function isKnown(field: string, tag: string): boolean {
  return fresh({ 'if-none-match': field }, { etag: tag })
}

/** A parameter of `Content-Type` (RFC 9110, 8.3.1); the standard knows no blanks around the equals sign. */
const parameter = /;[ \t]*(?:(?<name>[!#$%&'*+\-.^_`|~\w]+)=(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<bare>[^\s";,]*)))?/y
const jsonType = /^[ \t]*application\/json[ \t]*(?=;|$)/i

/** Whether a body of this type is JSON in UTF-8, by any of the charset's labels (https://encoding.spec.whatwg.org). */
export function isJsonInUtf8(contentType: string): boolean {
  const type = jsonType.exec(contentType)
  return type !== null && charsetsIn(contentType.slice(type[0].length)).every(isUtf8Label)
}

/** Parameters that are malformed are passed over, but for a charset: of two, both count. */
function charsetsIn(parameters: string): string[] {
  const charsets: string[] = []
  parameter.lastIndex = 0
  while (parameter.lastIndex < parameters.length) {
    const at = parameter.lastIndex
    const { name, quoted, bare } = parameter.exec(parameters)?.groups ?? {}
    if (name?.toLowerCase() === 'charset') charsets.push(quoted?.replaceAll(/\\(.)/gs, '$1') ?? bare ?? '')
    // Nothing to read here: on to the next semicolon.
    if (parameter.lastIndex <= at) {
      const next = parameters.indexOf(';', at + 1)
      parameter.lastIndex = next === -1 ? parameters.length : next
    }
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

/** Of which one is undone (RFC 9110, 8.4). */
const codings = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd'] as const
export type Coding = (typeof codings)[number]

/** As `Accept-Encoding` names them to a client that has sent another one. */
export const acceptedCodings = 'gzip, deflate, br, zstd, identity'

/**
 * Reads `Content-Encoding`, a list of codings.
 * @returns null for a body that is not packed; undefined for a coding that is not known, and for more than one
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
 * A host can have taken the prefix away from the path already, as `app.use('/jobs', …)` of Express does.
 * @param path of the request
 * @param original that it had when it came, with or without its query
 * @returns the path without the prefix; undefined for a path outside of it
 */
export function withoutPrefix(prefix: string, path: string, original: string): string | undefined {
  if (prefix === '') return path
  return [path, original.replace(/[?#].*$/, '')]
    .filter((each) => each === prefix || each.startsWith(`${prefix}/`))
    .map((each) => each.slice(prefix.length) || '/')[0]
}

/** The target of a request before its host has changed it, as Express, Koa and middie note it. */
export function originalUrlOf(incoming: IncomingMessage, otherwise = incoming.url ?? ''): string {
  const noted: unknown = Reflect.get(incoming, 'originalUrl')
  return typeof noted === 'string' ? noted : otherwise
}

const absolute = /^https?:\/\/[^/?#]+(?<rest>.*)$/i

/**
 * The path and query of the target in a request's first line (RFC 9112, 3.2); `*` stays what it is. Dots in a path are
 * not resolved: no route has one.
 * @returns undefined for what is no target
 */
export function pathAndQueryOf(target: string): string | undefined {
  if (target.startsWith('/') || target === '*') return target
  const rest = absolute.exec(target)?.groups?.['rest']
  if (rest === undefined || !URL.canParse(target)) return undefined
  return rest.startsWith('/') ? rest : `/${rest}`
}
