/** JSON as it comes and goes. Without imports, for the thread that parses bodies, and for browsers. */

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
