/** Where the routes are in the address space of a host, and where a request leads. */
import type { IncomingMessage } from 'node:http'
import { BootError } from '../domain/errors.ts'

export interface MountOptions {
  /** Stands before the path of each route, and in each address that is given out; empty, or such as `/jobs`. */
  readonly prefix: string
  /** Whether the routes stand beside those of another app. */
  readonly isHosted: boolean
  /** Whether its requests are the process's own: they need no API key, and their bodies may be of any size. */
  readonly isOwn?: boolean
}

/** Without a prefix, an app of somebody else's has these itself. */
export const pathsOfTheHost: ReadonlySet<string | RegExp> = new Set(['/', '/metrics', '/livez', '/readyz'])

/** @returns it without a slash at its end @throws BootError for what is no prefix of a path */
export function parsePrefix(prefix: string): string {
  const bare = prefix.replace(/\/$/, '')
  if (bare === '' || /^(?:\/[\w.~-]+)+$/.test(bare)) return bare
  throw new BootError(
    `the prefix ${prefix} is no path: it has to be like /jobs, of letters, digits, "-", ".", "_" and "~"`,
  )
}

/**
 * A host can have taken the prefix away from the path already, as `app.use('/jobs', …)` of Express does.
 * @param path of the request
 * @param original that it had when it came, with or without its query
 * @returns the path as the routes have it; undefined where it is none of theirs
 */
export function pathBehind(prefix: string, path: string, original: string): string | undefined {
  if (prefix === '') return path
  return [path, original.replace(/[?#].*$/, '')]
    .filter((each) => each === prefix || each.startsWith(`${prefix}/`))
    .map((each) => each.slice(prefix.length) || '/')[0]
}

/** The target of a request before its host has changed it, as Express, Koa and middie note it. */
export function originalUrlOf(incoming: IncomingMessage, otherwise = incoming.url ?? ''): string {
  const noted: unknown = Reflect.get(incoming, 'originalUrl')
  return typeof noted === 'string' ? noted : otherwise
}

const absolute = /^https?:\/\/[^/?#]+(?<rest>.*)$/i

/**
 * The path and query of the target in a request's first line (RFC 9112, 3.2); `*` stays what it is. Dots in a path are
 * not resolved: no route has one.
 * @returns undefined for what is no target
 */
export function pathAndQueryOf(target: string): string | undefined {
  if (target.startsWith('/') || target === '*') return target
  const rest = absolute.exec(target)?.groups?.['rest']
  if (rest === undefined || !URL.canParse(target)) return undefined
  return rest.startsWith('/') ? rest : `/${rest}`
}
