/** JSON text and its values. It imports nothing, because browsers and the thread that parses bodies load it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'

/** A JSON value with its text. Only the text keeps `1.0`, long numbers and the order of members. */
export class RawJson {
  readonly text: string
  readonly #value: unknown

  /** @param value the parsed text, where the caller has it */
  constructor(text: string, value?: unknown) {
    this.text = text
    this.#value = value
  }

  parse(): unknown {
    return this.#value === undefined ? JSON.parse(this.text) : this.#value
  }

  toJSON(): unknown {
    // Browsers older than 2025 may lack it, and write the value.
    if (markedTexts === null || !('rawJSON' in JSON)) return this.parse()
    markedTexts.push(this.text)
    return rawJson(mark)
  }
}

/** TypeScript has no types for it yet: https://tc39.es/proposal-json-parse-with-source/ */
const rawJson = (text: string): unknown => Reflect.apply(Reflect.get(JSON, 'rawJSON') as () => unknown, JSON, [text])
/** Stands for a raw text while JSON.stringify runs. No other value is written so: JSON.stringify does not escape letters. */
const mark = String.raw`"\u0041"`
/** The texts that marks replace; null: no call of `writeJson` is running. */
let markedTexts: string[] | null = null

/** Like JSON.stringify, but writes each `RawJson` as its text. */
export function writeJson(value: unknown): string {
  const texts: string[] = []
  markedTexts = texts
  try {
    const json = JSON.stringify(value)
    if (texts.length === 0) return json
    const [first = '', ...others] = json.split(mark)
    return others.reduce((all, other, index) => all + texts[index] + other, first)
  } finally {
    markedTexts = null
  }
}

/** @param value a JSON value, or a `RawJson` */
export function textOfJson(value: unknown): string {
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}

/**
 * The deepest nesting of arrays and objects in requests and results. JSON.stringify recurses for each level, and threads
 * have stacks of different sizes: without a limit, one thread could write a value that another could not.
 */
export const maxJsonDepth = 200

export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth >= maxJsonDepth) return true
  if (Array.isArray(value)) return value.some((item) => isTooDeep(item, depth + 1))
  for (const name in value) if (isTooDeep(Reflect.get(value, name), depth + 1)) return true
  return false
}

/** The type of a value after it was written as JSON and parsed. */
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

/** Names of members, outermost first. A path through an array leads to each of its elements. */
export type JsonPath = readonly string[]

/** Where a value is in a text: from its first character to the one after its last. */
type TextRange = readonly [from: number, to: number]

const [quote, comma, backslash, bracketEnd, braceEnd] = [0x22, 0x2c, 0x5c, 0x5d, 0x7d]
const [bracket, brace, blank] = [0x5b, 0x7b, 0x20]

/** @param text valid JSON */
export function rangesOf(text: string, path: JsonPath): readonly TextRange[] {
  const ranges: TextRange[] = []
  const reader = new JsonReader(text)

  function visit(depth: number): void {
    const from = reader.begin()
    const isEntered = depth < path.length && reader.readItems((key) => visitItem(key, depth))
    if (!isEntered) reader.skipValue()
    if (depth === path.length) ranges.push([from, reader.at])
  }

  function visitItem(key: string | number, depth: number): void {
    if (typeof key === 'number') visit(depth)
    else if (key === path[depth]) visit(depth + 1)
    else reader.skipValue()
  }

  visit(0)
  return ranges
}

/** Reads JSON text from its start, value by value. The text must be valid. */
export class JsonReader {
  readonly #text: string
  /** The position of the next character. */
  at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Skips blanks. @returns the position of the next value */
  begin(): number {
    while (this.#text.charCodeAt(this.at) <= blank) this.at += 1
    return this.at
  }

  /**
   * Reads an array or an object.
   * @param visit called for each item with its index or name; it must read or skip the item
   * @returns false for any other value, which is not read
   */
  readItems(visit: (key: string | number) => void): boolean {
    const opening = this.#text.charCodeAt(this.begin())
    if (opening !== bracket && opening !== brace) return false
    const end = opening === bracket ? bracketEnd : braceEnd
    this.at += 1
    for (let index = 0; this.#text.charCodeAt(this.begin()) !== end; index += 1) {
      if (index > 0) this.at += 1
      visit(opening === bracket ? index : this.#readName())
    }
    this.at += 1
    return true
  }

  /** Reads a name with its colon. */
  #readName(): string {
    const from = this.begin()
    this.at = endOfString(this.#text, from)
    const name = nameOf(this.#text.slice(from, this.at))
    this.at = this.begin() + 1
    return name
  }

  skipValue(): void {
    const text = this.#text
    let at = this.begin()
    let depth = 0
    do {
      const character = text.charCodeAt(at)
      if (character === quote) at = endOfString(text, at)
      else if (character === brace || character === bracket) {
        at += 1
        depth += 1
      } else if (depth === 0) at = endOfScalar(text, at)
      else {
        at += 1
        if (character === braceEnd || character === bracketEnd) depth -= 1
      }
    } while (depth > 0 && at < text.length)
    this.at = at
  }
}

/** The position after the number, `true`, `false` or `null` that begins at `start`. */
function endOfScalar(text: string, start: number): number {
  for (let end = start; end < text.length; end += 1) {
    const character = text.charCodeAt(end)
    if (character <= blank || character === comma || character === braceEnd || character === bracketEnd) return end
  }
  return text.length
}

/** Replaces each value that the path leads to. @param text valid JSON */
export function replaceTexts(text: string, path: JsonPath, replacement: string): string {
  let replaced = ''
  let copiedTo = 0
  for (const [from, to] of rangesOf(text, path)) {
    replaced += text.slice(copiedTo, from) + replacement
    copiedTo = to
  }
  return replaced + text.slice(copiedTo)
}

/**
 * Replaces each value that the path leads to by a `RawJson`.
 * @param text without two members of the same name in one object
 * @param value the parsed text, which is changed
 */
export function keepTexts(text: string, value: unknown, path: JsonPath): void {
  // Most paths lead nowhere, and then the text need not be scanned.
  if (!Array.isArray(value) && !Object.hasOwn(Object(value), path[0] ?? '')) return
  const ranges = rangesOf(text, path).values()

  function visit(holder: unknown, depth: number): void {
    if (Array.isArray(holder)) return holder.forEach((each) => visit(each, depth))
    const name = path[depth]
    if (name === undefined || typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, name)) return
    const member: unknown = Reflect.get(holder, name)
    if (depth < path.length - 1) {
      visit(member, depth + 1)
      return
    }
    const [from, to] = ranges.next().value ?? [0, 0]
    Reflect.set(holder, name, new RawJson(text.slice(from, to), member))
  }

  visit(value, 0)
}

/** Parses a text, with a `RawJson` for each value that a path leads to. */
export function parseKeeping(text: string, paths: readonly JsonPath[]): unknown {
  const value: unknown = JSON.parse(text)
  for (const path of paths) keepTexts(text, value, path)
  return value
}

/** The position after the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let first = end
    while (text.charCodeAt(first - 1) === backslash) first -= 1
    if ((end - first) % 2 === 0) return end + 1
  }
  return text.length
}

/** The value of a quoted string. */
function nameOf(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g

/** Indents JSON text; numbers keep their digits, and members their order. @param text valid JSON */
export function prettyJson(text: string): string {
  let pretty = ''
  let depth = 0
  let before = ''
  const newLine = (): string => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(tokens)) {
    const isFirstInside = before === '{' || before === '['
    if (token === '}' || token === ']') {
      depth -= 1
      pretty += isFirstInside ? token : newLine() + token
    } else {
      if (isFirstInside || before === ',') pretty += newLine()
      pretty += token === ':' ? ': ' : token
      if (token === '{' || token === '[') depth += 1
    }
    before = token
  }
  return pretty
}

/** A path as a JSON Pointer (RFC 6901). */
export function pointerOf(path: StandardSchemaV1.Issue['path']): string {
  const keys = (path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment))
  return keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
