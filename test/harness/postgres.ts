/** One real PostgreSQL for all tests of this process, started by the first test that needs it; a schema for each test. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'

export interface Postgres {
  readonly url: string
  /** Kills the server in the middle of its work; resolves when it is gone. */
  crash(): Promise<void>
  /** Starts it again on the same port, with the data on disk. */
  restart(): Promise<void>
  /** Ends the server and removes its data; the end of this process does the same. */
  end(): Promise<void>
}

const script = fileURLToPath(new URL('./postgres-server.ts', import.meta.url))
/** No test simulates a power cut; written data survives the end of a process without fsync. */
const quick = ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'max_connections=200']

let shared: Promise<Postgres> | undefined

/** The server of this process. A test may stop it, because tests run one after the other. */
export function sharedPostgres(): Promise<Postgres> {
  return (shared ??= startPostgres())
}

/** @param settings of `postgres`; the default favours speed over durability after a power cut */
export async function startPostgres(settings: readonly string[] = quick): Promise<Postgres> {
  const child = spawn(process.execPath, [script, ...settings], { stdio: ['pipe', 'pipe', 'inherit'] })
  const gone = new Promise<never>((_resolve, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`PostgreSQL's keeper ended with ${code ?? signal}`)))
  })
  gone.catch(() => {})
  const words: ((word: string) => void)[] = []
  createInterface({ input: child.stdout }).on('line', (line) => words.shift()?.(line))
  // Both are sockets, although the types of a child process do not say so.
  const handles = [child, child.stdin as unknown as Socket, child.stdout as unknown as Socket]

  /** Keeps this process alive only while it waits for the server; the server notices the end of its pipe. */
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
  /** Queries the database directly, with this schema as search path. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>
}

/** Stops the lease of the process with this number, as if its thread were dead or cut off. */
export async function silence({ query }: Schema, process: number): Promise<void> {
  const name = `silence_${process}`
  await query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
  await query(`CREATE TRIGGER ${name} BEFORE INSERT OR UPDATE ON process FOR EACH ROW WHEN (NEW.id = ${process})
    EXECUTE FUNCTION ${name}()`)
  await query('DELETE FROM process WHERE id = $1', [process])
}

/** Missing in the types of `pg`. */
type Kept = Client & { ref(): void; unref(): void }

/** Reused for all queries, opened again after a restart of the server; does not keep the process alive. */
function keepConnection(url: string, schema: string): { query: Schema['query']; end(): Promise<void> } {
  let kept: Promise<Kept> | null = null
  let pending = 0

  async function connect(): Promise<Kept> {
    const client = new Client({ connectionString: url }) as Kept
    const onGone = (): void => void (kept = null)
    client.on('error', onGone)
    client.on('end', onGone)
    await client.connect()
    await client.query(`SET search_path = ${schema}`)
    return client
  }

  return {
    async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
      kept ??= connect().catch((error: unknown) => {
        kept = null
        throw error
      })
      const client = await kept
      client.ref()
      pending += 1
      try {
        return (await client.query<Row>(text, [...values])).rows
      } finally {
        pending -= 1
        if (pending === 0) client.unref()
      }
    },
    async end() {
      const client = await kept
      client?.ref()
      await client?.end()
    },
  }
}

/**
 * A unique name for a schema, which is dropped with all its content at the end of the scope.
 * @param server default: the server of this process
 */
export async function makeSchema(server?: Postgres): Promise<Schema> {
  const postgres = server ?? (await sharedPostgres())
  const name = `test_${randomUUID().replaceAll('-', '')}`

  const connection = keepConnection(postgres.url, name)

  return {
    name,
    url: postgres.url,
    postgres,
    query: connection.query,
    async [Symbol.asyncDispose]() {
      await connection.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`)
      await connection.end()
    },
  }
}

/** Every table except the version. The tables of the search contain one row before the first process starts. */
const empty = `
  DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'schema_version' LOOP
      EXECUTE format('DELETE FROM %I', name);
    END LOOP;
  END $$;
  INSERT INTO search_progress (process, since) VALUES (0, 0)`
const unused: Schema[] = []

/**
 * An empty schema, with or without tables, because creating them takes longer than most tests. The next test reuses
 * it after the end of the scope, so a test may only change rows, and must close its stores.
 */
export async function lendSchema(): Promise<Schema> {
  const schema = unused.pop() ?? (await makeSchema())

  async function takeBack(): Promise<void> {
    await schema.query(empty)
    unused.push(schema)
  }
  return { ...schema, [Symbol.asyncDispose]: takeBack }
}
