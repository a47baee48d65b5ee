/** The part of a request's first line that says what it is about (RFC 9112, 3.2). */

const absolute = /^https?:\/\/[^/?#]+(?<rest>.*)$/i

/**
 * The path and query of a target; `*` stays what it is. Dots in a path are not resolved: no route has one.
 * @returns undefined for what is no target
 */
export function pathAndQueryOf(target: string): string | undefined {
  if (target.startsWith('/') || target === '*') return target
  const rest = absolute.exec(target)?.groups?.['rest']
  if (rest === undefined || !URL.canParse(target)) return undefined
  return rest.startsWith('/') ? rest : `/${rest}`
}
