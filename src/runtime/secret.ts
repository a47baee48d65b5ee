/**
 * What a task marks as secret: members of its input and its result, by paths such as `input.password`. Through a list a
 * path leads to each of its elements. Pure.
 */

import { hasOwn, isArray, split } from './primordials.ts'

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
    return JSON.stringify(eachSecret(JSON.parse(text), paths ?? [], part, () => mask))
  } catch {
    // What is no JSON cannot be looked into.
    return JSON.stringify(mask)
  }
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
