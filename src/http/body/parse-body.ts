/** Turns the bytes of a body into a value. With few imports, because the thread that parses large bodies loads this file. */
import { brotliDecompressSync, unzipSync, zstdDecompressSync } from 'node:zlib'
import { JsonReader, isTooDeep, type JsonPath, keepTexts, maxJsonDepth, pointerOf } from '../../domain/json.ts'
import type { ProblemCode, ProblemMembers, RequestIssue } from '../../domain/problems.ts'
import type { Coding } from '../request-head.ts'

/** A body as it was received. */
export interface PackedBody {
  readonly bytes: Uint8Array
  /** null: the bytes are not compressed. */
  readonly coding: Coding | null
}

/** Why a body is refused: what an AppError is made of, as plain data that threads can send. */
export interface BodyRefusal {
  readonly ok: false
  readonly code: ProblemCode
  readonly detail: string
  readonly members: ProblemMembers
}

export interface BodyValue {
  readonly ok: true
  /** The input of each task that has one is a RawJson. */
  readonly value: unknown
  /** Length of the decompressed text. */
  readonly bytes: number
}

export type ParsedBody = BodyValue | BodyRefusal

/** Parses JSON in UTF-8; a byte order mark is ignored, as RFC 8259 allows. */
export function parseBody({ bytes, coding }: PackedBody, maxBytes: number): ParsedBody {
  let unpacked: Uint8Array
  let text: string
  let value: unknown
  try {
    unpacked = coding === null ? bytes : unpackers[coding](bytes, { maxOutputLength: maxBytes })
    text = utf8.decode(unpacked)
    if (text === '') return malformed('it has no text')
    // Members named `__proto__` are plain data; nothing here merges objects.
    value = JSON.parse(text)
  } catch (error) {
    // zlib, TextDecoder and JSON.parse throw errors only.
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(maxBytes)
    return malformed(code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is not valid UTF-8' : message)
  }
  if (isTooDeep(value)) return tooDeep()
  const losses = mayLoseData(text, countMembers(value)) ? findLosses(text) : []
  const [first] = losses
  if (first !== undefined) return invalid(`${first.pointer}: ${first.detail}`, losses)
  for (const path of inputPaths) keepTexts(text, value, path)
  return { ok: true, value, bytes: unpacked.length }
}

// The synchronous forms: the asynchronous ones share libuv's threads with tasks, whose calls may never return.
const unpackers = {
  gzip: unzipSync,
  'x-gzip': unzipSync,
  deflate: unzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
} as const satisfies Record<Coding, (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer>

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Inputs of tasks, in a run's request and in a schedule. They keep their text. */
const inputPaths: readonly JsonPath[] = [
  ['tasks', 'input'],
  ['request', 'tasks', 'input'],
]

function malformed(reason: string): BodyRefusal {
  return { ok: false, code: 'malformed-json', detail: `the body could not be read as JSON: ${reason}`, members: {} }
}

function invalid(detail: string, errors: readonly RequestIssue[]): BodyRefusal {
  return { ok: false, code: 'validation-error', detail, members: { errors } }
}

export function tooLarge(maxBytes: number): BodyRefusal {
  return { ok: false, code: 'content-too-large', detail: `the body is larger than ${maxBytes} bytes`, members: {} }
}

export function tooDeep(): BodyRefusal {
  const issue = { pointer: '', detail: `at most ${maxJsonDepth} levels of nesting` }
  return invalid(`the body is nested more than ${maxJsonDepth} levels deep`, [issue])
}

/** The tasks of a run's request or of a schedule's; empty if there is no array of them. */
export function tasksOf({ value }: BodyValue): readonly unknown[] {
  return [value, Reflect.get(Object(value), 'request')].flatMap((request) => {
    const tasks: unknown = Reflect.get(Object(request), 'tasks')
    return Array.isArray(tasks) ? (tasks as unknown[]) : []
  })
}

/** Counts the members of an object and of all objects nested in it. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const nested: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let count = Array.isArray(value) ? 0 : nested.length
  for (const each of nested) if (typeof each === 'object') count += countMembers(each)
  return count
}

// JSON.parse silently drops data in two cases: the first of two members with the same name, and digits of a number that
// JavaScript cannot represent. The task would get another input than the one that was sent, so such a body is refused.

/** Ends each name, as in `"a":1`. If a text has more of these than members, a name is repeated or a string contains it. */
const nameEnd = '":'
/** The same with blanks before the colon, as in `"a" :1`, which is rare. */
const blankNameEnd = /"\s+:/
/** A number that may lose digits, or text like it: 16 digits, three digits of an exponent, or 300 zeros after a point. */
const numberLike = /(?<![\d.])\d{16}|\d[eE][+-]?\d{3}|\.0{300}/

const maxIssues = 100
const maxShownLength = 40

/**
 * A cheap test that is false for nearly every text.
 * @param memberCount of all objects in the value of the text
 */
function mayLoseData(text: string, memberCount: number): boolean {
  return countNameEnds(text) > memberCount || blankNameEnd.test(text) || numberLike.test(text)
}

function countNameEnds(text: string): number {
  let count = 0
  for (let at = text.indexOf(nameEnd); at !== -1; at = text.indexOf(nameEnd, at + 2)) count += 1
  return count
}

/** @param text valid JSON, not nested too deep */
function findLosses(text: string): RequestIssue[] {
  const losses: RequestIssue[] = []
  const reader = new JsonReader(text)
  /** Names and indexes that lead to the current value. */
  const path: (string | number)[] = []

  function report(detail: string): void {
    if (losses.length < maxIssues) losses.push({ pointer: pointerOf(path), detail })
  }

  function visit(): void {
    let names: Set<string | number> | undefined
    const isEntered = reader.readItems((key) => {
      names ??= new Set()
      path.push(key)
      if (names.has(key)) report('an earlier member has the same name')
      names.add(key)
      visit()
      path.pop()
    })
    if (!isEntered) checkScalar()
  }

  function checkScalar(): void {
    const from = reader.begin()
    reader.skipValue()
    const literal = text.slice(from, reader.at)
    const loss = /^[-\d]/.test(literal) ? lossOf(literal) : null
    if (loss !== null) report(loss)
  }

  visit()
  return losses
}

/**
 * What JavaScript would change about a number. Decimals are rounded, as everywhere. The digits of a whole number (`12`, and
 * those of `12.0e3`) must survive a round trip: it may be an id. `1e999` is too large, `1e-999` too small, and `0e9` is 0.
 */
function lossOf(literal: string): string | null {
  const value = Number(literal)
  const shown = literal.length > maxShownLength ? `${literal.slice(0, maxShownLength)}…` : literal
  if (!Number.isFinite(value)) return `the number ${shown} is too large`
  if (value === 0) return /^-?[0.]*(?:[eE]|$)/.test(literal) ? null : `the number ${shown} is too small`
  const withoutExponent = literal.replace(/(?:\.0+)?(?:[eE]\+?\d+)?$/, '')
  if (!/^-?\d+$/.test(withoutExponent)) return null
  const digits = Number(withoutExponent)
  // `String` writes large numbers with fewer digits, or with an exponent, even where all digits are exact.
  const survives = String(digits) === withoutExponent || BigInt(digits) === BigInt(withoutExponent)
  return survives ? null : `the number ${shown} would become ${value}; send it as a string`
}
