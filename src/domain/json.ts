/** JSON text and its values: raw JSON, the places of values in a text, limits. Without imports, for the thread that parses bodies and for browsers. */
import type { StandardSchemaV1 } from '@standard-schema/spec'

/** A JSON value with its text: `1.0`, long numbers and the order of members are kept only by the text. */
export class RawJson {
  readonly text: string
  readonly #value: unknown

  /** @param value of the text, where it is known */
  constructor(text: string, value?: unknown) {
    this.text = text
    this.#value = value
  }

  parse(): unknown {
    return this.#value === undefined ? JSON.parse(this.text) : this.#value
  }

  toJSON(): unknown {
    // Browsers older than 2025 may not have it, and lose what a value loses.
    if (written === null || !('rawJSON' in JSON)) return this.parse()
    written.push(this.text)
    return rawJson(mark)
  }
}

/** Not in the types of TypeScript yet: https://tc39.es/proposal-json-parse-with-source/ */
const rawJson = (text: string): unknown => Reflect.apply(Reflect.get(JSON, 'rawJSON') as () => unknown, JSON, [text])
/** Stands for a text while JSON is written. JSON.stringify escapes no letter, so that no data looks like it. */
const mark = String.raw`"\u0041"`
/** The texts that marks stand for; null while nothing is written. */
let written: string[] | null = null

/** As JSON.stringify, with the text of each RawJson in the value. */
export function writeJson(value: unknown): string {
  const texts: string[] = []
  written = texts
  try {
    const json = JSON.stringify(value)
    if (texts.length === 0) return json
    const [first = '', ...others] = json.split(mark)
    return others.reduce((all, other, index) => all + texts[index] + other, first)
  } finally {
    written = null
  }
}

/** @param value one that JSON has, or the text of one */
export function textOfJson(value: unknown): string {
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}

/**
 * How deep JSON may nest, in requests and in results, in levels of arrays and objects: JSON.stringify calls itself for
 * each level, so a value that one thread can write may be more than another can.
 */
export const maxJsonDepth = 200

/** Goes no deeper than is allowed. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth >= maxJsonDepth) return true
  if (Array.isArray(value)) return value.some((item) => isTooDeep(item, depth + 1))
  for (const name in value) if (isTooDeep(Reflect.get(value, name), depth + 1)) return true
  return false
}

/** As a value is when it has been JSON. */
export type AsJson<Value> = unknown extends Value
  ? unknown
  : Value extends string | number | boolean | null
    ? Value
    : Value extends { toJSON(): infer Json }
      ? AsJson<Json>
      : [Value] extends [undefined | void]
        ? null
        : Value extends object
          ? { [Key in keyof Value]: AsJson<Value[Key]> }
          : never

/** Names of members, from the outside; through a list it leads to each of the elements. */
export type JsonPath = readonly string[]

const [quote, comma, backslash, bracketEnd, braceEnd] = [0x22, 0x2c, 0x5c, 0x5d, 0x7d]
const [bracket, brace, blank] = [0x5b, 0x7b, 0x20]

/**
 * Where the values are that a path leads to: from the first character to the one after the last.
 * @param text that is JSON
 */
export function placesOf(text: string, path: JsonPath): readonly (readonly [from: number, to: number])[] {
  const places: [number, number][] = []
  let at = 0

  function visit(depth: number): void {
    skipBlanks()
    const from = at
    const opening = text.charCodeAt(at)
    if (depth < path.length && opening === bracket) visitMembers(() => visit(depth), bracketEnd)
    else if (depth < path.length && opening === brace) visitMembers(() => visitMember(depth), braceEnd)
    else skipValue()
    if (depth === path.length) places.push([from, at])
  }

  function visitMembers(visitOne: () => void, end: number): void {
    for (at += 1; at < text.length;) {
      skipBlanks()
      const character = text.charCodeAt(at)
      if (character === comma || character === end) at += 1
      else visitOne()
      if (character === end) return
    }
  }

  function visitMember(depth: number): void {
    const from = at
    at = endOfString(text, at)
    const isOnPath = nameOf(text.slice(from, at)) === path[depth]
    skipBlanks()
    // The colon.
    at += 1
    skipBlanks()
    if (isOnPath) visit(depth + 1)
    else skipValue()
  }

  function skipBlanks(): void {
    while (text.charCodeAt(at) <= blank) at += 1
  }

  function skipValue(): void {
    let depth = 0
    while (at < text.length) {
      const character = text.charCodeAt(at)
      if (character === quote) at = endOfString(text, at)
      else {
        const isEnd = character === braceEnd || character === bracketEnd
        // Of a number or a word, what follows is not a part.
        if (depth === 0 && (isEnd || character === comma || character <= blank)) return
        at += 1
        if (character === brace || character === bracket) depth += 1
        else if (isEnd) depth -= 1
        else continue
      }
      if (depth === 0) return
    }
  }

  visit(0)
  return places
}

/** The text with another one in each of the places. @param text that is JSON */
export function replaceTexts(text: string, path: JsonPath, replacement: string): string {
  let shown = ''
  let kept = 0
  for (const [from, to] of placesOf(text, path)) {
    shown += text.slice(kept, from) + replacement
    kept = to
  }
  return shown + text.slice(kept)
}

/**
 * Puts a RawJson in the place of each value that the path leads to.
 * @param text without two members of one name
 * @param value of the text
 */
export function keepTexts(text: string, value: unknown, path: JsonPath): void {
  // Where it leads nowhere, the text need not be walked.
  if (!Object.hasOwn(Object(value), path[0] ?? '')) return
  const places = placesOf(text, path).values()

  function visit(holder: unknown, depth: number): void {
    if (Array.isArray(holder)) for (const each of holder) visit(each, depth)
    const name = path[depth]
    if (name === undefined || typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, name)) return
    const member: unknown = Reflect.get(holder, name)
    if (depth < path.length - 1) {
      visit(member, depth + 1)
      return
    }
    const [from, to] = places.next().value ?? [0, 0]
    Reflect.set(holder, name, new RawJson(text.slice(from, to), member))
  }

  visit(value, 0)
}

/** The value of a text, in which what the paths lead to stays text: a RawJson. */
export function parseKeeping(text: string, paths: readonly JsonPath[]): unknown {
  const value: unknown = JSON.parse(text)
  for (const path of paths) keepTexts(text, value, path)
  return value
}

/** The place after its closing quote. */
export function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let first = end
    while (text.charCodeAt(first - 1) === backslash) first -= 1
    if ((end - first) % 2 === 0) return end + 1
  }
  return text.length
}

export function nameOf(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g

/**
 * JSON text with line breaks: every number keeps its digits, and every member its place.
 * @param text that is JSON
 */
export function prettyJson(text: string): string {
  let shown = ''
  let depth = 0
  let before = ''
  const line = (): string => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(tokens)) {
    const opens = before === '{' || before === '['
    if (token === '}' || token === ']') {
      depth -= 1
      shown += opens ? token : line() + token
    } else {
      if (opens || before === ',') shown += line()
      shown += token === ':' ? ': ' : token
      if (token === '{' || token === '[') depth += 1
    }
    before = token
  }
  return shown
}

/** A path as a JSON Pointer (RFC 6901). */
export function pointerOf(path: StandardSchemaV1.Issue['path']): string {
  const keys = (path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment))
  return keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
