/** One real PostgreSQL for all tests of this process, started when the first of them needs it; a schema for each. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'

export interface Postgres {
  readonly url: string
  /** Ends the server in the middle of whatever it does; resolves when it is gone. */
  crash(): Promise<void>
  /** Starts it again on the same port, with what it had on disk. */
  restart(): Promise<void>
  /** Ends the server and removes all that it has; at the end of this process that happens by itself. */
  end(): Promise<void>
}

const script = fileURLToPath(new URL('./postgres-server.ts', import.meta.url))
/** No test pulls the plug of the machine; what a process has written outlives the process without it. */
const quick = ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'max_connections=200']

let shared: Promise<Postgres> | undefined

/** The server of this process. A test that stops it waits for nobody else: tests run one after the other. */
export function sharedPostgres(): Promise<Postgres> {
  return (shared ??= startPostgres())
}

/** @param settings what `postgres` is given, by default for speed and not for a power cut */
export async function startPostgres(settings: readonly string[] = quick): Promise<Postgres> {
  const child = spawn(process.execPath, [script, ...settings], { stdio: ['pipe', 'pipe', 'inherit'] })
  const gone = new Promise<never>((_resolve, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`PostgreSQL's keeper ended with ${code ?? signal}`)))
  })
  gone.catch(() => {})
  const words: ((word: string) => void)[] = []
  createInterface({ input: child.stdout }).on('line', (line) => words.shift()?.(line))
  // Both are sockets, which the types of a child process do not say.
  const handles = [child, child.stdin as unknown as Socket, child.stdout as unknown as Socket]

  /** While nobody waits for it, this process may end; the other one notices that by its pipe. */
  async function next(): Promise<string> {
    for (const handle of handles) handle.ref()
    const said = new Promise<string>((resolve) => words.push(resolve))
    return Promise.race([said, gone]).finally(() => {
      for (const handle of handles) handle.unref()
    })
  }

  async function tell(word: 'stop' | 'start'): Promise<void> {
    const done = next()
    child.stdin.write(`${word}\n`)
    await done
  }

  const port = (await next()).split(' ')[1]

  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    crash: () => tell('stop'),
    restart: () => tell('start'),
    async end() {
      child.ref()
      child.stdin.end()
      await gone.catch(() => {})
    },
  }
}

export interface Schema extends AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly postgres: Postgres
  /** Asks the database itself, with this schema as its path. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>
}

/** The process with this number keeps its lease no more, as one whose thread is dead, or kept away. */
export async function silence({ query }: Schema, process: number): Promise<void> {
  const name = `silence_${process}`
  await query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
  await query(`CREATE TRIGGER ${name} BEFORE INSERT OR UPDATE ON process FOR EACH ROW WHEN (NEW.id = ${process})
    EXECUTE FUNCTION ${name}()`)
  await query('DELETE FROM process WHERE id = $1', [process])
}

/**
 * A name for a schema that nobody else uses; it is dropped at the end of the scope, with all that was made in it.
 * @param server default: that of this process
 */
export async function makeSchema(server?: Postgres): Promise<Schema> {
  const postgres = server ?? (await sharedPostgres())
  const name = `test_${randomUUID().replaceAll('-', '')}`

  async function query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const client = new Client({ connectionString: postgres.url })
    client.on('error', () => {})
    await client.connect()
    try {
      await client.query(`SET search_path = ${name}`)
      return (await client.query<Row>(text, [...values])).rows
    } finally {
      await client.end()
    }
  }

  return {
    name,
    url: postgres.url,
    postgres,
    query,
    async [Symbol.asyncDispose]() {
      await query(`DROP SCHEMA IF EXISTS ${name} CASCADE`)
    },
  }
}
