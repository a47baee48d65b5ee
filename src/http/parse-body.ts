/** A body's text as a value, for the thread that has it; small and with next to no imports, for that may be one of its own. */
import { isTooDeep } from '../domain/json-depth.ts'

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
