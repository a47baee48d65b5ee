/**
 * What a caller may do and see. API keys are Bearer tokens (RFC 6750), compared in constant time; without keys everybody may
 * do everything. What tasks mark as secret is hidden from callers whose key can only read.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { Context } from 'koa'
import type { Config } from '../config.ts'
import { AppError } from '../domain/errors.ts'
import type { JobRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import { maskText } from '../runtime/secret.ts'

const credentials = /^bearer(?: +(?<key>.*))?$/i
const challenge = 'Bearer realm="forerunner"'
/** Hexadecimal digits of a key's digest, enough to differ from those of the other keys. */
const scopeDigits = 16

/** What a key permits; `none`: no keys are configured, and everything is permitted. */
export type KeyKind = 'write' | 'read' | 'none'

export interface Caller {
  readonly kind: KeyKind
  /** Stable for each API key, and neither the key nor a way to it; empty for no key. */
  readonly scope: string
}

interface KnownKey extends Caller {
  readonly digest: Buffer
}

export const anybody: Caller = { kind: 'none', scope: '' }

/**
 * Lets a request pass that carries one of the keys, or any where none is configured.
 * @throws AppError `unauthorized`, with `WWW-Authenticate` set on the response
 */
export type Authenticate = (ctx: Context) => Caller

/** Without keys of either kind every request passes. */
export function createAuthenticate({ apiKeys, apiKeysRead }: Pick<Config, 'apiKeys' | 'apiKeysRead'>): Authenticate {
  const known = [
    ...apiKeys.map((key) => knownKey(key, 'write')),
    ...apiKeysRead.map((key) => knownKey(key, 'read')),
  ] as const

  return (ctx) => {
    if (known.length === 0) return anybody
    // A browser's cache has pages with different keys: without it, one could be shown what another one may see.
    ctx.vary('Authorization')
    const given = keysOf(ctx)
    // Two are ambiguous: a proxy on the way may have checked the other one.
    const [key] = given
    const match = key === undefined || given.length > 1 ? undefined : matchOf(key, known)
    if (match !== undefined) return match
    ctx.set('WWW-Authenticate', key === undefined ? challenge : `${challenge}, error="invalid_token"`)
    throw new AppError(
      'unauthorized',
      key === undefined ? 'the request has no API key' : 'the API key is not one of this service',
    )
  }
}

function knownKey(key: string, kind: KeyKind): KnownKey {
  const digest = hash('sha256', key, 'buffer')
  return { kind, digest, scope: digest.toString('hex').slice(0, scopeDigits) }
}

/** What follows `Bearer` in each field; another scheme has no key. */
function keysOf(ctx: Context): string[] {
  const fields = ctx.req.headersDistinct['authorization'] ?? []
  return fields.flatMap((field) => {
    const match = credentials.exec(field)
    return match === null ? [] : [match.groups?.['key'] ?? '']
  })
}

/** Compares every key, also after a match: the time must not show how near a guess has come. */
function matchOf(key: string, known: readonly KnownKey[]): KnownKey | undefined {
  const digest = hash('sha256', key, 'buffer')
  let match: KnownKey | undefined
  for (const one of known) if (timingSafeEqual(digest, one.digest)) match = one
  return match
}

/**
 * Lets a request pass whose method the caller may use. The response to one that only reads is kept from a page of another
 * site by the browser.
 * @throws AppError `read-only-key` or `cross-site`
 */
export function checkPermission(ctx: Context, kind: KeyKind): void {
  if (kind === 'read') readers.add(ctx.req)
  if (ctx.method === 'GET' || ctx.method === 'HEAD') return
  if (kind === 'read')
    throw new AppError('read-only-key', 'this key may read, and not start, change or delete anything')
  if (kind === 'none' && ctx.get('Sec-Fetch-Site') === 'cross-site') {
    throw new AppError('cross-site', 'a web page of another site must not start or end work here')
  }
}

/** Requests of read-only keys; not a member of the context, which an app around may have filled. */
const readers = new WeakSet<object>()
const shownRuns = new WeakMap<RunRecord, RunRecord>()

export function hidesSecrets({ req }: Context): boolean {
  return readers.has(req)
}

/** The same object for the same run, so that an event of it is written once. */
export function withoutSecrets(run: RunRecord): RunRecord {
  if (!run.jobs.some(({ secret }) => secret !== undefined)) return run
  const shown = shownRuns.get(run) ?? { ...run, jobs: run.jobs.map(jobWithoutSecrets) }
  shownRuns.set(run, shown)
  return shown
}

export function jobWithoutSecrets(job: JobRecord): JobRecord {
  const { result, secret } = job
  return secret === undefined || result === null ? job : { ...job, result: maskText(result, secret, 'result') }
}
