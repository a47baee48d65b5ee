/** Who takes part, and how each is started. */
import { fileURLToPath } from 'node:url'

export interface Contender {
  readonly name: string
  /** What node is given. */
  readonly entry: string
  readonly env: Readonly<Record<string, string>>
  /** How many jobs its own totals count for a run of three tasks. */
  readonly jobsPerRun: number
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

export const plain: Contender = { name: 'plain Koa, no jobs', entry: path('./plain.ts'), env: {}, jobsPerRun: 1 }

export const volatileApp: Contender = {
  name: 'Koa + Piscina, volatile',
  entry: path('./volatile.ts'),
  env: {},
  jobsPerRun: 3,
}

/** @param directory where its database file is made */
export function forerunner(directory: string): Contender {
  return {
    name: 'Forerunner, durable',
    entry: path('../../dist/src/main.js'),
    env: {
      TASKS_DIR: path('../tasks'),
      DATABASE_URL: `sqlite:${directory}/forerunner.db`,
      SHUTDOWN_GRACE_MS: '0',
    },
    jobsPerRun: 3,
  }
}

/** @param url of a PostgreSQL server */
export function forerunnerOnPostgres(url: string): Contender {
  return {
    name: 'Forerunner on PostgreSQL',
    entry: path('../../dist/src/main.js'),
    env: { TASKS_DIR: path('../tasks'), DATABASE_URL: url, SHUTDOWN_GRACE_MS: '0' },
    jobsPerRun: 3,
  }
}

/** @param url of a PostgreSQL server */
export function pgBoss(url: string): Contender {
  return { name: 'Koa + pg-boss', entry: path('./pg-boss.ts'), env: { DATABASE_URL: url }, jobsPerRun: 3 }
}
