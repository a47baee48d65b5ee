/**
 * Keeps what a task marks as secret in its input out of what leaves the task beside its result: errors, lines of the log
 * and messages of progress. It runs between jobs' code, and so with functions that were taken before any task ran.
 */
import { eachSecret, mask } from '../runtime/secret.ts'
import { isArray, keys, replaceAll, toText } from '../runtime/primordials.ts'

/** The value with every secret text or number in it replaced. */
export type Hide = <Value>(value: Value) => Value

/** What is shorter stands in too many texts by chance. */
const minLength = 4
const maxSecrets = 64
const maxDepth = 20

/** @returns null where nothing is secret */
export function createHide(paths: readonly string[], input: unknown): Hide | null {
  if (paths.length === 0) return null
  const secrets: string[] = []
  eachSecret(input, paths, 'input', (secret) => {
    collect(secret, secrets, 0)
    return secret
  })
  if (secrets.length === 0) return null
  return <Value>(value: Value): Value => hideIn(value, secrets, 0) as Value
}

/** Every text and number in it. */
function collect(value: unknown, secrets: string[], depth: number): void {
  if (typeof value === 'string' || typeof value === 'number') {
    const text = toText(value)
    if (text.length >= minLength && secrets.length < maxSecrets) secrets[secrets.length] = text
  } else if (typeof value === 'object' && value !== null && depth < maxDepth) {
    const names = keys(value)
    for (let index = 0; index < names.length; index += 1) {
      collect((value as Record<string, unknown>)[names[index] as string], secrets, depth + 1)
    }
  }
}

function hideIn(value: unknown, secrets: readonly string[], depth: number): unknown {
  if (typeof value === 'string') {
    let text = value
    for (let index = 0; index < secrets.length; index += 1) text = replaceAll(text, secrets[index] as string, mask)
    return text
  }
  if (typeof value === 'number') {
    for (let index = 0; index < secrets.length; index += 1) if (toText(value) === secrets[index]) return mask
    return value
  }
  if (typeof value !== 'object' || value === null) return value
  // Too deep to look through: it may hold a secret.
  if (depth > maxDepth) return mask
  if (isArray(value)) {
    const shown: unknown[] = []
    for (let index = 0; index < value.length; index += 1) shown[index] = hideIn(value[index], secrets, depth + 1)
    return shown
  }
  const shown: Record<string, unknown> = {}
  const names = keys(value)
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index] as string
    shown[hideIn(name, secrets, depth) as string] = hideIn((value as Record<string, unknown>)[name], secrets, depth + 1)
  }
  return shown
}
