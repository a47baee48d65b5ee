/** A body's bytes as a value, for the thread that has them; with few imports, for that may be one of its own. */
import type { RequestIssue } from '../../domain/problem.ts'
import { brotliDecompressSync, unzipSync, zstdDecompressSync } from 'node:zlib'
import { isTooDeep } from '../../domain/json.ts'
import type { Coding } from '../request-headers.ts'
import { findLosses, mayLose } from './json-losses.ts'

/** A body as it was received; `coding` null where it is not packed. */
export interface PackedBody {
  readonly bytes: Uint8Array
  readonly coding: Coding | null
}

export type ParsedBody =
  /** `bytes`: of the text, unpacked. */
  | { readonly kind: 'value'; readonly value: unknown; readonly bytes: number }
  | { readonly kind: 'too-deep' }
  /** Unpacked it has more bytes than are allowed. */
  | { readonly kind: 'too-large' }
  /** It is JSON, and its value would not be what it says at these places. */
  | { readonly kind: 'lossy'; readonly issues: readonly RequestIssue[] }
  | { readonly kind: 'malformed'; readonly reason: string }

const unpackers = {
  gzip: unzipSync,
  'x-gzip': unzipSync,
  deflate: unzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
} as const satisfies Record<Coding, (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer>

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Takes JSON in UTF-8 and, as RFC 8259 allows, passes over a byte order mark. */
export function parseBody({ bytes, coding }: PackedBody, maxBytes: number): ParsedBody {
  let text: string
  let length: number
  try {
    const unpacked = coding === null ? bytes : unpack(bytes, coding, maxBytes)
    if (unpacked === null) return { kind: 'too-large' }
    text = utf8.decode(unpacked)
    length = unpacked.length
  } catch (error) {
    const isEncoding = Reflect.get(Object(error), 'code') === 'ERR_ENCODING_INVALID_ENCODED_DATA'
    return { kind: 'malformed', reason: isEncoding ? 'it is not valid UTF-8' : messageOf(error) }
  }
  return text === '' ? { kind: 'malformed', reason: 'it has no text' } : parseText(text, length)
}

/** Members named `__proto__` are plain data; nothing here merges objects. */
function parseText(text: string, bytes: number): ParsedBody {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // With the reason that V8 gives.
    return { kind: 'malformed', reason: messageOf(error) }
  }
  if (isTooDeep(value)) return { kind: 'too-deep' }
  const issues = mayLose(text, countMembers(value)) ? findLosses(text) : []
  return issues.length > 0 ? { kind: 'lossy', issues } : { kind: 'value', value, bytes }
}

/** The value's member `tasks`; empty where that is no list. */
export function tasksOf(parsed: ParsedBody): readonly unknown[] {
  const tasks: unknown = parsed.kind === 'value' ? Reflect.get(Object(parsed.value), 'tasks') : undefined
  return Array.isArray(tasks) ? tasks : []
}

/** Of all objects within. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const within: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let count = Array.isArray(value) ? 0 : within.length
  for (const each of within) if (typeof each === 'object') count += countMembers(each)
  return count
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * In this thread, so that it never waits for those that tasks may have filled with calls that do not return.
 * @returns null where it has more than `maxBytes`
 * @throws what zlib throws for bytes that are not packed so
 */
function unpack(bytes: Uint8Array, coding: Coding, maxBytes: number): Buffer | null {
  try {
    return unpackers[coding](bytes, { maxOutputLength: maxBytes })
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'ERR_BUFFER_TOO_LARGE') return null
    throw error
  }
}
