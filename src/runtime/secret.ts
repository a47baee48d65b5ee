/**
 * What a task marks as secret: members of its input and its result, by paths such as `input.password`. Through a list a
 * path leads to each of its elements. What runs between jobs' code uses functions that were taken before any task ran.
 */
import { replaceTexts } from '../domain/json.ts'
import { hasOwn, isArray, keys, replaceAll, split, toText } from './primordials.ts'

/** In the place of what is hidden. */
export const mask = '•••'

export type SecretPart = 'input' | 'result'

const syntax = /^(?:input|result)(?:\.[^.]+)*$/
const maxPaths = 32

/** @returns what is wrong with them; null: nothing */
export function wrongWithPaths(paths: unknown): string | null {
  if (!Array.isArray(paths) || paths.length > maxPaths) return `must be a list of at most ${maxPaths} paths`
  const wrong: unknown = paths.find((path) => typeof path !== 'string' || !syntax.test(path))
  return wrong === undefined ? null : `has ${JSON.stringify(wrong)}, and a path is such as "input.password" or "result"`
}

export function hasSecret(paths: readonly string[] | null | undefined, part: SecretPart): boolean {
  return paths?.some((path) => path === part || path.startsWith(`${part}.`)) ?? false
}

/** The text of a JSON value without what is secret in it; the same text where nothing is. */
export function maskText(text: string, paths: readonly string[] | null | undefined, part: SecretPart): string {
  if (!hasSecret(paths, part)) return text
  try {
    JSON.parse(text)
  } catch {
    // What is no JSON cannot be looked into.
    return JSON.stringify(mask)
  }
  // What is not hidden is shown as it was written.
  return (paths ?? []).reduce((shown, path) => {
    const [first, ...members] = path.split('.')
    return first === part ? replaceTexts(shown, members, JSON.stringify(mask)) : shown
  }, text)
}

/** The value with each secret part of it replaced. It runs on threads between jobs, too. */
export function eachSecret(
  value: unknown,
  paths: readonly string[],
  part: SecretPart,
  replace: (secret: unknown) => unknown,
): unknown {
  let shown = value
  for (let index = 0; index < paths.length; index += 1) {
    const members = split(paths[index] as string, '.')
    if (members[0] === part) shown = replaceAt(shown, members, 1, replace)
  }
  return shown
}

function replaceAt(
  value: unknown,
  members: readonly string[],
  depth: number,
  replace: (secret: unknown) => unknown,
): unknown {
  const member = members[depth]
  if (member === undefined) return replace(value)
  if (isArray(value)) {
    const shown: unknown[] = []
    for (let index = 0; index < value.length; index += 1) {
      shown[index] = replaceAt(value[index], members, depth, replace)
    }
    return shown
  }
  if (typeof value !== 'object' || value === null || !hasOwn(value, member)) return value
  return { ...value, [member]: replaceAt((value as Record<string, unknown>)[member], members, depth + 1, replace) }
}

/** The value with every secret text or number in it replaced. */
export type Hide = <Value>(value: Value) => Value

/** What is shorter stands in too many texts by chance. */
const minLength = 4
const maxSecrets = 64
const maxDepth = 20

/**
 * Keeps what a task marks as secret in its input out of all that leaves the task except its result: errors, lines of the
 * log and messages of progress.
 * @returns null where nothing is secret
 */
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
