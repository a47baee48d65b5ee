/** Reads what a request says of its body: `Content-Type` (RFC 9110, 8.3) and `Content-Encoding` (8.4). */
import { brotliDecompressSync, unzipSync, zstdDecompressSync } from 'node:zlib'

/** A parameter; the standard knows no blanks around the equals sign. */
const parameter = /;[ \t]*(?:(?<name>[!#$%&'*+\-.^_`|~\w]+)=(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<token>[^\s";,]*)))?/y
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
    const { name, quoted, token } = parameter.exec(parameters)?.groups ?? {}
    if (name?.toLowerCase() === 'charset') charsets.push(quoted?.replaceAll(/\\(.)/gs, '$1') ?? token ?? '')
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

const unpackers = {
  gzip: unzipSync,
  'x-gzip': unzipSync,
  deflate: unzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
} as const satisfies Record<string, (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer>

export type Coding = keyof typeof unpackers

/** As `Accept-Encoding` names them to a client that has sent another one. */
export const acceptedCodings = 'gzip, deflate, br, zstd, identity'

/**
 * Reads `Content-Encoding`, a list of codings, of which we undo one.
 * @returns null for a body that is not packed; undefined for a coding that is not known, and for more than one
 */
export function parseCoding(field: string): Coding | null | undefined {
  const [first, ...more] = field
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
  if (first === undefined) return null
  return more.length === 0 && Object.hasOwn(unpackers, first) ? (first as Coding) : undefined
}

/**
 * In this thread, so that it never waits for those that tasks may have filled with calls that do not return.
 * @returns null where it has more than `maxBytes`
 * @throws what zlib throws for bytes that are not packed so
 */
export function unpack(bytes: Uint8Array, coding: Coding, maxBytes: number): Buffer | null {
  try {
    return unpackers[coding](bytes, { maxOutputLength: maxBytes })
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'ERR_BUFFER_TOO_LARGE') return null
    throw error
  }
}
