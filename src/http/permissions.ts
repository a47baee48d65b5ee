/**
 * What a caller may do and see. API keys are Bearer tokens (RFC 6750), compared in constant time. Without any keys configured
 * every caller may do everything. Values that tasks mark as secret are hidden from callers with a read-only key.
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
/** Hexadecimal digits of a key's digest, enough to differ from those of all other keys. */
const scopeDigits = 16

export interface Caller {
  /** What the key of the request allows; `keyless`: the request needed none, and everything is allowed. */
  readonly access: 'write' | 'read' | 'keyless'
  /** Identifies the API key without revealing it; empty without a key. */
  readonly scope: string
}

interface KnownKey extends Caller {
  readonly digest: Buffer
}

export const keylessCaller: Caller = { access: 'keyless', scope: '' }

/** @throws AppError `unauthorized`, with `WWW-Authenticate` set on the response */
export type Authenticate = (ctx: Context) => Caller

export function createAuthenticate({ apiKeys, apiKeysRead }: Pick<Config, 'apiKeys' | 'apiKeysRead'>): Authenticate {
  const known = [
    ...apiKeys.map((key) => knownKey(key, 'write')),
    ...apiKeysRead.map((key) => knownKey(key, 'read')),
  ] as const

  return (ctx) => {
    if (known.length === 0) return keylessCaller
    // Otherwise the cache of a browser could show the holder of one key what another key may see.
    ctx.vary('Authorization')
    const given = keysOf(ctx)
    const [key] = given
    // Two keys are ambiguous: a proxy may have checked the other one.
    const match = key === undefined || given.length > 1 ? undefined : findKey(key, known)
    if (match !== undefined) return match
    ctx.set('WWW-Authenticate', key === undefined ? challenge : `${challenge}, error="invalid_token"`)
    const detail = key === undefined ? 'the request has no API key' : 'the API key is not one of this service'
    throw new AppError('unauthorized', detail)
  }
}

function knownKey(key: string, access: Caller['access']): KnownKey {
  const digest = hash('sha256', key, 'buffer')
  return { access, digest, scope: digest.toString('hex').slice(0, scopeDigits) }
}

/** Keys in all `Authorization` fields; schemes other than Bearer have none. */
function keysOf(ctx: Context): string[] {
  const fields = ctx.req.headersDistinct['authorization'] ?? []
  return fields.flatMap((field) => {
    const match = credentials.exec(field)
    return match === null ? [] : [match.groups?.['key'] ?? '']
  })
}

/** Compares every key, even after a match: the duration must not reveal how close a guess is. */
function findKey(key: string, known: readonly KnownKey[]): KnownKey | undefined {
  const digest = hash('sha256', key, 'buffer')
  let match: KnownKey | undefined
  for (const each of known) if (timingSafeEqual(digest, each.digest)) match = each
  return match
}

/**
 * Refuses a method that the caller may not use, and notes read-only access for `hidesSecrets`. Reading is always allowed:
 * browsers hide the responses of such requests from pages of other sites.
 * @throws AppError `read-only-key` or `cross-site`
 */
export function applyAccess(ctx: Context, access: Caller['access']): void {
  if (access === 'read') hidingSecrets.add(ctx.req)
  if (ctx.method === 'GET' || ctx.method === 'HEAD') return
  if (access === 'read') {
    throw new AppError('read-only-key', 'this key may read, and not start, change or delete anything')
  }
  if (access === 'keyless' && ctx.get('Sec-Fetch-Site') === 'cross-site') {
    throw new AppError('cross-site', 'a web page of another site must not start or end work here')
  }
}

/** Requests with read-only keys. Not noted in the context, which belongs to the host app. */
const hidingSecrets = new WeakSet<object>()
const runsWithoutSecrets = new WeakMap<RunRecord, RunRecord>()

/** Whether secrets are hidden from the caller, who has a read-only key. False before `applyAccess`. */
export function hidesSecrets({ req }: Context): boolean {
  return hidingSecrets.has(req)
}

/** Returns the same object each time it gets the same run, so that an event for many readers is written once. */
export function withoutSecrets(run: RunRecord): RunRecord {
  if (!run.jobs.some(({ secret }) => secret !== undefined)) return run
  const shown = runsWithoutSecrets.get(run) ?? { ...run, jobs: run.jobs.map(jobWithoutSecrets) }
  runsWithoutSecrets.set(run, shown)
  return shown
}

export function jobWithoutSecrets(job: JobRecord): JobRecord {
  const { result, secret } = job
  return secret === undefined || result === null ? job : { ...job, result: maskText(result, secret, 'result') }
}
