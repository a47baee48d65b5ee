/**
 * How deep JSON may nest, in requests and in results: JSON.stringify calls itself for each level, so a value that one
 * thread can write may be more than another can. Without imports, for the thread that parses bodies.
 */

/** Levels of arrays and objects. */
export const maxJsonDepth = 200

/** Goes no deeper than is allowed. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth >= maxJsonDepth) return true
  if (Array.isArray(value)) return value.some((item) => isTooDeep(item, depth + 1))
  for (const name in value) if (isTooDeep(Reflect.get(value, name), depth + 1)) return true
  return false
}
