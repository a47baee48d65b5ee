/** A body's bytes as a value, for the thread that has them; with few imports, for that may be one of its own. */
import { messageOf } from '../../domain/errors.ts'
import type { RequestIssue } from '../../domain/problems.ts'
import { brotliDecompressSync, unzipSync, zstdDecompressSync } from 'node:zlib'
import { endOfString, isTooDeep, type JsonPath, keepTexts, nameOf, pointerOf } from '../../domain/json.ts'
import type { Coding } from '../request-head.ts'

/** A body as it was received; `coding` null where it is not packed. */
export interface PackedBody {
  readonly bytes: Uint8Array
  readonly coding: Coding | null
}

export type ParsedBody =
  /** `bytes`: of the text, unpacked. Each task's input is a RawJson. */
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
  if (issues.length > 0) return { kind: 'lossy', issues }
  for (const path of inputPaths) keepTexts(text, value, path)
  return { kind: 'value', value, bytes }
}

/** Of a run's request, and of a schedule: what a task was given is kept as it was sent. */
const inputPaths: readonly JsonPath[] = [
  ['tasks', 'input'],
  ['request', 'tasks', 'input'],
]

/** The tasks of a run's request, or of that of a schedule; empty where that is no list. */
export function tasksOf(parsed: ParsedBody): readonly unknown[] {
  const value: unknown = parsed.kind === 'value' ? parsed.value : undefined
  return [value, Reflect.get(Object(value), 'request')].flatMap((request) => {
    const tasks: unknown = Reflect.get(Object(request), 'tasks')
    return Array.isArray(tasks) ? (tasks as unknown[]) : []
  })
}

/** Of all objects within. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const within: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let count = Array.isArray(value) ? 0 : within.length
  for (const each of within) if (typeof each === 'object') count += countMembers(each)
  return count
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

// What JSON text says and its value does not: a member that another one of its name hides, and a number that JavaScript
// has not. Its sender would not know that a task was given something else.

/** What stands between a name and its value. Strings can hold it too, so there are at least as many as members. */
const nameEnd = '":'
/** The same with blanks before the colon, which is rare. */
const blankNameEnd = /"\s+:/
/** A whole number of 16 digits, an exponent of three, or a fraction of many zeros; also within strings. */
const numberLike = /(?<![\d.])\d{16}|\d[eE][+-]?\d{3}|\.0{300}/
const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y

const maxIssues = 100
const maxShown = 40

/**
 * Whether it is worth to look; nearly always not, and found out quickly.
 * @param members of all objects in the text's value
 */
function mayLose(text: string, members: number): boolean {
  return countNameEnds(text) > members || blankNameEnd.test(text) || numberLike.test(text)
}

function countNameEnds(text: string): number {
  let count = 0
  for (let at = text.indexOf(nameEnd); at !== -1; at = text.indexOf(nameEnd, at + 2)) count += 1
  return count
}

interface Level {
  /** null: an array. */
  readonly names: Set<string> | null
  key: string | number
  isNameNext: boolean
}

/** @param text that is JSON, nested no deeper than is allowed */
function findLosses(text: string): RequestIssue[] {
  const issues: RequestIssue[] = []
  const levels: Level[] = []
  const note = (detail: string): void => {
    issues.push({ pointer: pointerOf(levels.map(({ key }) => key)), detail })
  }

  let at = 0
  while (at < text.length && issues.length < maxIssues) {
    const character = text[at]
    const level = levels.at(-1)
    if (character === '"') {
      const end = endOfString(text, at)
      if (level?.isNameNext === true) {
        level.key = nameOf(text.slice(at, end))
        level.isNameNext = false
        if (level.names?.has(level.key) === true) note('there is a member of this name before')
        level.names?.add(level.key)
      }
      at = end
      continue
    }
    number.lastIndex = at
    const literal = number.exec(text)?.[0]
    if (literal !== undefined) {
      const loss = lossOf(literal)
      if (loss !== null) note(loss)
      at += literal.length
      continue
    }
    if (character === '{') levels.push({ names: new Set(), key: '', isNameNext: true })
    else if (character === '[') levels.push({ names: null, key: 0, isNameNext: false })
    else if (character === '}' || character === ']') levels.pop()
    else if (character === ',' && level !== undefined) {
      level.isNameNext = level.names !== null
      if (typeof level.key === 'number') level.key += 1
    }
    at += 1
  }
  return issues
}

/** Decimals are rounded to what JavaScript has, which is their nature; whole numbers are not, for they may be ids. */
function lossOf(literal: string): string | null {
  const value = Number(literal)
  const shown = literal.length > maxShown ? `${literal.slice(0, maxShown)}…` : literal
  if (!Number.isFinite(value)) return `the number ${shown} is too large`
  if (value === 0) return /^-?[0.]*(?:[eE]|$)/.test(literal) ? null : `the number ${shown} is too small`
  // Its digits without the power of ten.
  const whole = literal.replace(/(?:\.0+)?(?:[eE]\+?\d+)?$/, '')
  if (!/^-?\d+$/.test(whole)) return null
  const digits = Number(whole)
  if (Number.isSafeInteger(digits) || String(digits) === whole || BigInt(digits) === BigInt(whole)) return null
  return `the number ${shown} would become ${value}; send it as a string`
}
