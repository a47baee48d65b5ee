/** Reads the environment once and turns it into one frozen Config; nothing else in the program reads it. */
import { BlockList, isIPv6 } from 'node:net'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { BootError } from './domain/errors.ts'

const dayMs = 86_400_000
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
  .default([])

/** Durations in milliseconds, sizes in bytes. */
const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535, 3000),
  DATABASE_URL: z
    .string()
    .refine(isDatabaseUrl, 'must be sqlite:PATH, sqlite::memory: or postgres://…')
    .default('sqlite:data/forerunner.db'),
  // Short enough for a channel of that name, and never in need of quotes.
  DATABASE_SCHEMA: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,47}$/, 'must be 1 to 48 of a-z, 0-9 and _, and begin with no digit')
    .default('forerunner'),
  ROLE: z.enum(['all', 'http', 'worker']).default('all'),
  FIRST_JOBS: z.enum(['main', 'pool']).default('main'),
  TASKS_DIR: z.string().default('workers'),
  THREADS: wholeNumber(1, 1024, Math.max(1, availableParallelism() - 1)),
  IO_THREADS: wholeNumber(1, 64, 1),
  IO_CONCURRENCY: wholeNumber(1, 10_000, 100),
  API_KEYS: apiKeyList,
  API_KEYS_READ: apiKeyList,
  MAX_BODY_BYTES: wholeNumber(1, 512 * 1024 * 1024, 1_048_576),
  MAX_IN_FLIGHT_BYTES: wholeNumber(1_048_576, 64 * 1024 ** 3, 64 * 1024 * 1024),
  MAX_TASKS_PER_RUN: wholeNumber(1, 10_000, 100),
  MAX_BACKLOG: wholeNumber(1, 100_000_000, 100_000),
  MAX_STREAMS: wholeNumber(0, 1_000_000, 1000),
  MAIN_BUDGET_MS: wholeNumber(1, maxTimerMs, 50),
  MAIN_STALL_MS: wholeNumber(100, maxTimerMs, 30_000),
  RETENTION_MS: wholeNumber(0, 3650 * dayMs, 7 * dayMs),
  CANCEL_GRACE_MS: wholeNumber(0, maxTimerMs, 500),
  SHUTDOWN_GRACE_MS: wholeNumber(0, maxTimerMs, 7_000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
})

export interface Config {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly databaseUrl: string
  /** Of a PostgreSQL database: several services can share one. */
  readonly databaseSchema: string
  /** What this process does of what all processes of a service do: everything, answer requests, or run jobs. */
  readonly role: 'all' | 'http' | 'worker'
  /** Where first jobs whose callers wait are run; `pool` keeps all of them off the main thread. */
  readonly firstJobs: 'main' | 'pool'
  readonly tasksDir: string
  readonly threads: number
  readonly ioThreads: number
  readonly ioConcurrency: number
  /** Empty: nobody needs one. */
  readonly apiKeys: readonly string[]
  /** Keys that can only read; with them alone nobody can write. */
  readonly apiKeysRead: readonly string[]
  readonly maxBodyBytes: number
  /** Of large bodies of requests that are not answered yet, and as much of large answers that clients have not read. */
  readonly maxInFlightBytes: number
  readonly maxTasksPerRun: number
  readonly maxBacklog: number
  readonly maxStreams: number
  readonly mainBudgetMs: number
  readonly mainStallMs: number
  readonly retentionMs: number
  readonly cancelGraceMs: number
  readonly shutdownGraceMs: number
  readonly logLevel: z.infer<typeof schema>['LOG_LEVEL']
}

/**
 * @param environment names to values; an empty value counts as unset
 * @throws BootError that names each variable that is wrong
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  return parse(environment)
}

/** The same settings as members of an object, as the library takes them: `maxBacklog` for `MAX_BACKLOG`. */
export function configOf(options: Partial<Config>): Config {
  const named = Object.entries(options).filter(([, value]) => value !== undefined)
  const unknown = named.map(([name]) => name).filter((name) => !Object.hasOwn(schema.shape, variableOf(name)))
  if (unknown.length > 0) throw new BootError(`invalid configuration: there is no option ${unknown.join(', ')}`)
  return parse(
    Object.fromEntries(named.map(([name, value]) => [variableOf(name), Array.isArray(value) ? value : String(value)])),
  )
}

function parse(settings: Readonly<Record<string, unknown>>): Config {
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ''))
  const parsed = schema.safeParse(given)
  if (!parsed.success) {
    const wrong = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
    throw new BootError(`invalid configuration: ${wrong.join('; ')}`)
  }
  const { data } = parsed
  if (data.API_KEYS.some((key) => data.API_KEYS_READ.includes(key))) {
    throw new BootError('invalid configuration: API_KEYS_READ has a key of API_KEYS; a key can read or write, not both')
  }
  if (data.API_KEYS.length + data.API_KEYS_READ.length === 0 && !isLoopback(data.HOST)) {
    const reason = 'others can reach it there, so it needs API_KEYS'
    throw new BootError(`invalid configuration: HOST is ${data.HOST}, which is no loopback address; ${reason}`)
  }
  if (data.ROLE !== 'all' && !isPostgres(data.DATABASE_URL)) {
    const reason = 'a database that other processes cannot share needs one that does everything'
    throw new BootError(`invalid configuration: ROLE is ${data.ROLE}; ${reason}`)
  }
  return Object.freeze({
    host: data.HOST,
    port: data.PORT,
    databaseUrl: data.DATABASE_URL,
    databaseSchema: data.DATABASE_SCHEMA,
    role: data.ROLE,
    firstJobs: data.FIRST_JOBS,
    tasksDir: data.TASKS_DIR,
    threads: data.THREADS,
    ioThreads: data.IO_THREADS,
    ioConcurrency: data.IO_CONCURRENCY,
    apiKeys: Object.freeze(data.API_KEYS),
    apiKeysRead: Object.freeze(data.API_KEYS_READ),
    maxBodyBytes: data.MAX_BODY_BYTES,
    maxInFlightBytes: data.MAX_IN_FLIGHT_BYTES,
    maxTasksPerRun: data.MAX_TASKS_PER_RUN,
    maxBacklog: data.MAX_BACKLOG,
    maxStreams: data.MAX_STREAMS,
    mainBudgetMs: data.MAIN_BUDGET_MS,
    mainStallMs: data.MAIN_STALL_MS,
    retentionMs: data.RETENTION_MS,
    cancelGraceMs: data.CANCEL_GRACE_MS,
    shutdownGraceMs: data.SHUTDOWN_GRACE_MS,
    logLevel: data.LOG_LEVEL,
  })
}

/** More threads of kind `cpu` than this for each core make nothing faster. */
const threadsPerCore = 4

/** What is allowed and hardly meant; one line each. */
export function doubtsAbout({ threads }: Config): string[] {
  const cores = availableParallelism()
  if (threads <= cores * threadsPerCore) return []
  return [
    `THREADS is ${threads} on ${cores} cores: more than one for each core runs nothing sooner, and each takes memory`,
  ]
}

export function isPostgres(databaseUrl: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(databaseUrl)
}

/** The address of a database, without what is nobody's business. */
export function shownDatabase(databaseUrl: string): string {
  if (!isPostgres(databaseUrl)) return databaseUrl
  const { protocol, host, pathname } = new URL(databaseUrl)
  return `${protocol}//${host}${pathname}`
}

function isDatabaseUrl(text: string): boolean {
  return isPostgres(text) ? URL.canParse(text) : /^sqlite:.+$/.test(text)
}

function variableOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')
}
