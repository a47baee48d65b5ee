/** The settings: names, bounds and defaults. The program reads them from the environment, the library takes them as options. */
import { BlockList, isIPv6 } from 'node:net'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { BootError } from './domain/errors.ts'
import { isWebhookSecret, isWebhookUrl, keyOf } from './domain/webhook.ts'

const dayMs = 86_400_000
/** A longer timer fires at once. */
const maxTimerMs = 2_147_483_647

const wholeNumber = (min: number, max: number, fallback: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
    .default(fallback)

/** More than a Bearer token can contain (RFC 6750, 2.1), but neither a space nor a comma, which separates keys. */
const apiKey = z.string().regex(/^[!-+\--~]{1,255}$/, 'must be 1 to 255 visible ASCII characters without a comma')

// The library passes a list, which is not joined and split again: an empty key in it must stay an error.
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

/** Takes texts. Durations are in milliseconds, sizes in bytes. In the environment, `maxBacklog` is `MAX_BACKLOG`. */
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
     * Schema in a PostgreSQL database, which several services can share. The pattern keeps it short enough for the name of
     * a notification channel, and free of quotes.
     */
    databaseSchema: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,47}$/, 'must be 1 to 48 of a-z, 0-9 and _, and begin with no digit')
      .default('forerunner'),
    /** What this process does: everything, serve requests, or run jobs. */
    role: z.enum(['all', 'http', 'worker']).default('all'),
    /** Where first jobs run when their callers wait. */
    firstJobs: z.enum(['main', 'pool']).default('main'),
    tasksDir: z.string().default('workers'),
    threads: wholeNumber(1, 1024, Math.max(1, availableParallelism() - 1)),
    ioThreads: wholeNumber(1, 64, 1),
    ioConcurrency: wholeNumber(1, 10_000, 100),
    /** Empty, together with `apiKeysRead`: requests need no key. */
    apiKeys: apiKeyList,
    /** Keys that permit reading only. */
    apiKeysRead: apiKeyList,
    maxBodyBytes: wholeNumber(1, 512 * 1024 * 1024, 1_048_576),
    /** Bounds the large bodies of requests without a response yet, and as many bytes of large responses that clients have not read. */
    maxInFlightBytes: wholeNumber(1_048_576, 64 * 1024 ** 3, 64 * 1024 * 1024),
    maxTasksPerRun: wholeNumber(1, 10_000, 100),
    maxBacklog: wholeNumber(1, 100_000_000, 100_000),
    maxStreams: wholeNumber(0, 1_000_000, 1000),
    mainBudgetMs: wholeNumber(1, maxTimerMs, 50),
    mainStallMs: wholeNumber(100, maxTimerMs, 30_000),
    /** Whether the store keeps an index of the words of runs. */
    searchIndex: flag('true'),
    /** Default for runs that name no webhook; empty: none. */
    webhookUrl: z.string().refine(isWebhookUrl, 'must be an address that begins with http:// or https://').default(''),
    /** Each webhook is signed with all of these keys; empty: no webhook is sent. */
    webhookSecret: webhookSecrets,
    /** Whether webhooks may go to addresses that are private, loopback or link-local. */
    webhookAllowPrivate: flag('false'),
    /** How long the lines that tasks log are kept; 0: not at all. */
    logRetentionMs: wholeNumber(0, 30 * dayMs, dayMs),
    /** Bounds the kept lines of all runs together; the oldest are removed. */
    logMaxBytes: wholeNumber(1_048_576, 1024 ** 4, 256 * 1_048_576),
    /** How long the figures of each minute are kept; 0: not at all. */
    statsRetentionMs: wholeNumber(0, 366 * dayMs, 7 * dayMs),
    retentionMs: wholeNumber(0, 3650 * dayMs, 7 * dayMs),
    cancelGraceMs: wholeNumber(0, maxTimerMs, 500),
    shutdownGraceMs: wholeNumber(0, maxTimerMs, 7_000),
    /** A label for the live page, such as production; empty: none. */
    environment: z
      .string()
      .regex(/^[\w .:-]{0,32}$/, 'must be at most 32 letters, digits, blanks and _ . : -')
      .default(''),
    logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  })
  .readonly()

export interface Config extends z.output<typeof schema> {}

type Name = keyof Config
/** How the user writes the name of a setting. */
type NameOf = (name: Name) => string

const names = Object.keys(schema.unwrap().shape) as Name[]

export const optionName: NameOf = (name) => name
export const variableName: NameOf = (name) => name.replaceAll(/[A-Z]/g, '_$&').toUpperCase()

/**
 * @param environment an empty value counts as unset
 * @throws BootError that names each invalid variable
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  return parse(
    names.map((name) => [name, environment[variableName(name)]]),
    variableName,
  )
}

/** The settings from the library's options. @throws BootError that names each invalid option */
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

const maxUsefulThreadsPerCore = 4
/** By Standard Webhooks. */
const minSecretBytes = 24

/** Warnings about valid settings that are probably mistakes, one line each. */
export function doubtsAbout({ threads, webhookSecret }: Config, nameOf: NameOf = variableName): string[] {
  const cores = availableParallelism()
  const doubts: string[] = []
  if (threads > cores * maxUsefulThreadsPerCore) {
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

/** The URL of a database without user, password and options. */
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
