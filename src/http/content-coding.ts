/** How a body is packed: `Content-Encoding` (RFC 9110, 8.4), a list of codings, of which we undo one. */
import { brotliDecompressSync, unzipSync, zstdDecompressSync } from 'node:zlib'

const unpackers = {
  gzip: unzipSync,
  'x-gzip': unzipSync,
  deflate: unzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
} as const satisfies Record<string, (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer>

export type Coding = keyof typeof unpackers

/** As `Accept-Encoding` names them to who has sent another one. */
export const acceptedCodings = 'gzip, deflate, br, zstd, identity'

/** @returns null for a body that is not packed; undefined for a coding that is not known, and for more than one */
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
