/** The settings, each said once: its name, bounds and default. The program takes them from the environment, the library as options. */
import { BlockList, isIPv6 } from 'node:net'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { BootError } from './domain/errors.ts'
import { isWebhookSecret, isWebhookUrl, keyOf } from './domain/webhook.ts'

const dayMs = 86_400_000
/** Above it a timer fires at once. */
const maxTimerMs = 2_147_483_647

const wholeNumber = (min: number, max: number, fallback: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
    .default(fallback)

/** What a Bearer token can hold (RFC 6750, 2.1) and more, but neither a space nor the comma between two keys. */
const apiKey = z.string().regex(/^[!-+\--~]{1,255}$/, 'must be 1 to 255 visible ASCII characters without a comma')

// The library hands over a list: joined and split again, an empty key in it would be no key at all.
const apiKeyList = z
  .union([z.array(z.string()), z.string().transform((text) => text.split(',').map((key) => key.trim()))])
  .pipe(z.array(apiKey))
  .readonly()
  .prefault([])

const flag = (fallback: 'true' | 'false') =>
  z
    .enum(['true', 'false'])
    .default(fallback)
    .transform((text) => text === 'true')

const webhookSecrets = z
  .union([z.array(z.string()), z.string().transform((text) => text.trim().split(/\s+/))])
  .pipe(z.array(z.string().refine(isWebhookSecret, 'must be whsec_ and a key in Base64')))
  .readonly()
  .prefault([])

/** Takes texts. Durations in milliseconds, sizes in bytes. In the environment `maxBacklog` is `MAX_BACKLOG`. */
const schema = z
  .object({
    host: z.string().default('127.0.0.1'),
    /** 0: any free port. */
    port: wholeNumber(0, 65_535, 3000),
    databaseUrl: z
      .string()
      .refine(isDatabaseUrl, 'must be sqlite:PATH, sqlite::memory: or postgres://…')
      .default('sqlite:data/forerunner.db'),
    /**
     * Of a PostgreSQL database: several services can share one. Short enough for a channel of that name, and never in
     * need of quotes.
     */
    databaseSchema: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,47}$/, 'must be 1 to 48 of a-z, 0-9 and _, and begin with no digit')
      .default('forerunner'),
    /** The part of this process in the service: everything, answering requests, or running jobs. */
    role: z.enum(['all', 'http', 'worker']).default('all'),
    /** Where first jobs whose callers wait are run; `pool` keeps all of them off the main thread. */
    firstJobs: z.enum(['main', 'pool']).default('main'),
    tasksDir: z.string().default('workers'),
    threads: wholeNumber(1, 1024, Math.max(1, availableParallelism() - 1)),
    ioThreads: wholeNumber(1, 64, 1),
    ioConcurrency: wholeNumber(1, 10_000, 100),
    /** Empty: no request needs a key. */
    apiKeys: apiKeyList,
    /** Keys that can only read; with them alone no request can write. */
    apiKeysRead: apiKeyList,
    maxBodyBytes: wholeNumber(1, 512 * 1024 * 1024, 1_048_576),
    /** Of large bodies of requests that are not answered yet, and as much of large answers that clients have not read. */
    maxInFlightBytes: wholeNumber(1_048_576, 64 * 1024 ** 3, 64 * 1024 * 1024),
    maxTasksPerRun: wholeNumber(1, 10_000, 100),
    maxBacklog: wholeNumber(1, 100_000_000, 100_000),
    maxStreams: wholeNumber(0, 1_000_000, 1000),
    mainBudgetMs: wholeNumber(1, maxTimerMs, 50),
    mainStallMs: wholeNumber(100, maxTimerMs, 30_000),
    /** Whether the store keeps an index of the words of runs. */
    searchIndex: flag('true'),
    /** Where the end of each run is reported that names no other place; empty: nowhere. */
    webhookUrl: z.string().refine(isWebhookUrl, 'must be an address that begins with http:// or https://').default(''),
    /** Each webhook is signed with all of these; without one no webhook is sent. */
    webhookSecret: webhookSecrets,
    /** Whether webhooks may go to addresses that are private, loopback or link-local. */
    webhookAllowPrivate: flag('false'),
    /** How long lines that tasks have logged are kept; 0: they are not. */
    logRetentionMs: wholeNumber(0, 30 * dayMs, dayMs),
    /** Of the lines of all runs together; the oldest are forgotten. */
    logMaxBytes: wholeNumber(1_048_576, 1024 ** 4, 256 * 1_048_576),
    /** How long it is kept what tasks did in each minute; 0: it is not. */
    statsRetentionMs: wholeNumber(0, 366 * dayMs, 7 * dayMs),
    retentionMs: wholeNumber(0, 3650 * dayMs, 7 * dayMs),
    cancelGraceMs: wholeNumber(0, maxTimerMs, 500),
    shutdownGraceMs: wholeNumber(0, maxTimerMs, 7_000),
    /** Where the service runs, such as production: the live page shows it. Empty: it shows nothing. */
    environment: z
      .string()
      .regex(/^[\w .:-]{0,32}$/, 'must be at most 32 letters, digits, blanks and _ . : -')
      .default(''),
    logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  })
  // Frozen, too.
  .readonly()

export interface Config extends z.output<typeof schema> {}

type Name = keyof Config
/** A setting's name as the user writes it. */
type NameOf = (name: Name) => string

const names = Object.keys(schema.unwrap().shape) as Name[]

export const optionName: NameOf = (name) => name
export const variableName: NameOf = (name) => name.replaceAll(/[A-Z]/g, '_$&').toUpperCase()

/**
 * @param environment names to values; an empty value counts as unset
 * @throws BootError that names each variable that is wrong
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  return parse(
    names.map((name) => [name, environment[variableName(name)]]),
    variableName,
  )
}

/** The same settings as members of an object, as the library takes them. @throws BootError that names each wrong option */
export function configOf(options: Partial<Config>): Config {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const unknown = given.map(([name]) => name).filter((name) => !names.some((known) => known === name))
  if (unknown.length > 0) throw invalid(`there is no option ${unknown.join(', ')}`)
  return parse(
    given.map(([name, value]) => [name, Array.isArray(value) ? value : String(value)]),
    optionName,
  )
}

function parse(given: readonly (readonly [name: string, value: unknown])[], nameOf: NameOf): Config {
  const parsed = schema.safeParse(Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== '')))
  if (!parsed.success) {
    const wrong = parsed.error.issues.map(({ path: [name, ...within], message }) => {
      return `${[nameOf(name as Name), ...within].join('.')} ${message}`
    })
    throw invalid(wrong.join('; '))
  }
  const { data } = parsed
  const { host, role, apiKeys, apiKeysRead } = data
  if (apiKeys.some((key) => apiKeysRead.includes(key))) {
    const both = `${nameOf('apiKeysRead')} has a key of ${nameOf('apiKeys')}`
    throw invalid(`${both}; a key can read or write, not both`)
  }
  if (apiKeys.length + apiKeysRead.length === 0 && !isLoopback(host)) {
    const reason = `others can reach it there, so it needs ${nameOf('apiKeys')}`
    throw invalid(`${nameOf('host')} is ${host}, which is no loopback address; ${reason}`)
  }
  if (data.webhookUrl !== '' && data.webhookSecret.length === 0) {
    throw invalid(`${nameOf('webhookUrl')} needs ${nameOf('webhookSecret')}: every webhook is signed`)
  }
  if (role !== 'all' && !isPostgres(data.databaseUrl)) {
    const reason = 'a database that other processes cannot share needs one that does everything'
    throw invalid(`${nameOf('role')} is ${role}; ${reason}`)
  }
  return data
}

function invalid(what: string): BootError {
  return new BootError(`invalid configuration: ${what}`)
}

/** More threads of kind `cpu` than this for each core make nothing faster. */
const threadsPerCore = 4
/** As Standard Webhooks wants it. */
const minSecretBytes = 24

/** Settings that are allowed and hardly meant; one line each. */
export function doubtsAbout({ threads, webhookSecret }: Config, nameOf: NameOf = variableName): string[] {
  const cores = availableParallelism()
  const doubts: string[] = []
  if (threads > cores * threadsPerCore) {
    const what = `${nameOf('threads')} is ${threads} on ${cores} cores`
    doubts.push(`${what}: more than one for each core runs nothing sooner, and each takes memory`)
  }
  if (webhookSecret.some((secret) => keyOf(secret).length < minSecretBytes)) {
    doubts.push(`${nameOf('webhookSecret')} has a key of less than ${minSecretBytes} bytes, which can be guessed`)
  }
  return doubts
}

export function isPostgres(databaseUrl: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(databaseUrl)
}

/** The address of a database, without its user, password and options. */
export function shownDatabase(databaseUrl: string): string {
  if (!isPostgres(databaseUrl)) return databaseUrl
  const { protocol, host, pathname } = new URL(databaseUrl)
  return `${protocol}//${host}${pathname}`
}

function isDatabaseUrl(text: string): boolean {
  return isPostgres(text) ? URL.canParse(text) : /^sqlite:.+$/.test(text)
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')
}
