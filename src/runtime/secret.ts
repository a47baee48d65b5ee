/**
 * Secrets of a task: members of its input and its result, by paths such as `input.password`. A path through a list leads to
 * each of its elements.
 */
import { replaceTexts } from '../domain/json.ts'
import { hasOwn, isArray, keys, replaceAll, split, toText } from './primordials.ts'

/** Replaces a hidden value. */
export const mask = '•••'

export type SecretPart = 'input' | 'result'

const syntax = /^(?:input|result)(?:\.[^.]+)*$/
const maxPaths = 32

/** @returns what is wrong with the paths, or null */
export function wrongWithPaths(paths: unknown): string | null {
  if (!Array.isArray(paths) || paths.length > maxPaths) return `must be a list of at most ${maxPaths} paths`
  const wrong: unknown = paths.find((path) => typeof path !== 'string' || !syntax.test(path))
  return wrong === undefined ? null : `has ${JSON.stringify(wrong)}, and a path is such as "input.password" or "result"`
}

export function hasSecret(paths: readonly string[] | null | undefined, part: SecretPart): boolean {
  return paths?.some((path) => path === part || path.startsWith(`${part}.`)) ?? false
}

/** Masks the secrets in the text of a JSON value, and keeps the rest of the text as it is. */
export function maskText(text: string, paths: readonly string[] | null | undefined, part: SecretPart): string {
  if (!hasSecret(paths, part)) return text
  try {
    JSON.parse(text)
  } catch {
    // Text that is not JSON may hold a secret anywhere.
    return JSON.stringify(mask)
  }
  return (paths ?? []).reduce((shown, path) => {
    const [first, ...members] = path.split('.')
    return first === part ? replaceTexts(shown, members, JSON.stringify(mask)) : shown
  }, text)
}

/** Replaces each secret of the value. */
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

/** Replaces every secret text and number in the value. */
export type Hide = <Value>(value: Value) => Value

/** Many texts contain a shorter secret by chance. */
const minLength = 4
const maxSecrets = 64
const maxDepth = 20

/**
 * Hides the secrets of a task's input in everything that leaves the task except its result: errors, log lines and
 * progress.
 * @returns null when nothing is secret
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

/** Adds every text and number in the value to the secrets. */
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
  // Too deep to search: it may hold a secret.
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
