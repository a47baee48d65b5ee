/** JSON as it comes and goes. Without imports, for the thread that parses bodies. */

/** JSON that stays text, for nobody on the main thread needs to know its value. */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
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
