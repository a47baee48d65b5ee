/** The contenders, and how each is started. */
import { fileURLToPath } from 'node:url'

export interface Contender {
  readonly name: string
  /** Arguments of the program. */
  readonly entry: string
  /** The executable; default: this Node. */
  readonly program?: string
  /** Arguments before the entry. */
  readonly flags?: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** How many jobs its own totals count for a run of three tasks. */
  readonly jobsPerRun: number
  /** Command name of the processes of its database server, which this bench started. */
  readonly helper?: 'postgres' | 'redis-server'
  /** The file that contains all its data. */
  readonly file?: string
}

/** Key of its figures. */
export const names = {
  plain: 'Koa alone, no jobs',
  volatile: 'Koa + Piscina, volatile',
  sqlite: 'Forerunner on SQLite',
  pgBoss: 'Koa + pg-boss',
  postgres: 'Forerunner on PostgreSQL',
  bullMq: 'Koa + BullMQ, fsync',
  fastApi: 'FastAPI, volatile',
} as const

/** With the flags of `npm start`. */
export const startFlags = ['--enable-source-maps', '--max-semi-space-size=16']
export const startEnv = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '1000000',
  MALLOC_TRIM_THRESHOLD_: '1000000',
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const service = path('../../dist/src/main.js')
/** A contender is ended when its work is done, so its shutdown need not be waited for. */
const serviceEnv = { ...startEnv, TASKS_DIR: path('../tasks'), SHUTDOWN_GRACE_MS: '0' }

export const plain: Contender = { name: names.plain, entry: path('./plain.js'), env: {}, jobsPerRun: 1 }

export const volatileApp: Contender = { name: names.volatile, entry: path('./volatile.js'), env: {}, jobsPerRun: 3 }

/** @param file of its database, created if necessary */
export function forerunnerOnSqlite(file: string, env: Readonly<Record<string, string>> = {}): Contender {
  const all = { ...serviceEnv, DATABASE_URL: `sqlite:${file}`, ...env }
  return { name: names.sqlite, entry: service, flags: startFlags, env: all, jobsPerRun: 3, file }
}

/** @param url of a PostgreSQL server */
export function forerunnerOnPostgres(url: string): Contender {
  const env = { ...serviceEnv, DATABASE_URL: url }
  return { name: names.postgres, entry: service, flags: startFlags, env, jobsPerRun: 3, helper: 'postgres' }
}

/** @param url of a PostgreSQL server */
export function pgBoss(url: string): Contender {
  const env = { DATABASE_URL: url }
  return { name: names.pgBoss, entry: path('./pg-boss.js'), env, jobsPerRun: 3, helper: 'postgres' }
}

/** @param socket of a Redis server */
export function bullMq(socket: string): Contender {
  const env = { REDIS_SOCKET: socket }
  return { name: names.bullMq, entry: path('./bull-mq.js'), env, jobsPerRun: 3, helper: 'redis-server' }
}

/** @param program a Python that has FastAPI and uvicorn */
export function fastApi(program: string): Contender {
  return { name: names.fastApi, program, entry: path('./fast-api.py'), env: {}, jobsPerRun: 3 }
}
