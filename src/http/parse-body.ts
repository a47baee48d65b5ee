/** A body's text as a value, for the thread that has it; small and without imports, for that may be one of its own. */

/** Nesting above this is refused before anything recursive sees the body. */
export const maxDepth = 200

export type ParsedBody =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'too-deep' }
  /** With the reason that V8 gives. */
  | { readonly kind: 'malformed'; readonly reason: string }

/** Members named `__proto__` are plain data; nothing here merges objects. */
export function parseBody(text: string): ParsedBody {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) }
  }
  return isTooDeep(value) ? { kind: 'too-deep' } : { kind: 'value', value }
}

/** The value's member `tasks`; empty where that is no list. */
export function tasksOf(parsed: ParsedBody): readonly unknown[] {
  const tasks: unknown = parsed.kind === 'value' ? Reflect.get(Object(parsed.value), 'tasks') : undefined
  return Array.isArray(tasks) ? tasks : []
}

/** Goes no deeper than is allowed. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth >= maxDepth) return true
  if (Array.isArray(value)) return value.some((item) => isTooDeep(item, depth + 1))
  for (const name in value) if (isTooDeep(Reflect.get(value, name), depth + 1)) return true
  return false
}
