/** Shared by the scenarios: cores, directories, and servers that start when a scenario first needs them. */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '../../test/harness/postgres.ts'
import { bullMq, fastApi, names } from '../contenders/contenders.ts'
import type { Bench } from '../scenarios/scenario.ts'
import { pinCores } from './cores.ts'
import { startGenerator } from './load.ts'
import { findPython } from './python.ts'
import { startRedis, type Redis } from './redis.ts'

export interface OpenBench extends Bench, AsyncDisposable {
  /** Which of the optional contenders were available, if a scenario needed them. */
  found(): string[]
}

export function openBench(isQuick: boolean): OpenBench {
  const scope = new AsyncDisposableStack()
  const cores = pinCores()
  let postgres: Promise<string> | undefined
  let redis: Promise<Redis | null> | undefined
  const found: string[] = []
  const directories: string[] = []
  // Also after an interrupt, because some directories are large.
  process.once('exit', () => directories.forEach((directory) => rmSync(directory, { recursive: true, force: true })))

  async function postgresUrl(): Promise<string> {
    // With its default settings, including fsync.
    const server = await startPostgres([])
    scope.defer(() => server.end())
    return server.url
  }

  async function redisOnce(): Promise<Redis | null> {
    const server = await startRedis()
    found.push(
      server === null
        ? `not run: ${names.bullMq} (there is no redis-server)`
        : `Redis ${server.version} with appendonly yes and appendfsync always`,
    )
    return server === null ? null : scope.use(server)
  }

  const python = findPython()
  return {
    isQuick,
    cores,
    async makeDirectory() {
      const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
      directories.push(directory)
      return directory
    },
    startGenerator: () => startGenerator(cores.generatorPrefix),
    postgres: () => (postgres ??= postgresUrl()),
    async bullMq() {
      const server = await (redis ??= redisOnce())
      return server && bullMq(server.socket)
    },
    fastApi() {
      const line = python?.version ?? `not run: ${names.fastApi} (there is no Python with FastAPI and uvicorn)`
      if (!found.includes(line)) found.push(line)
      return python && fastApi(python.program)
    },
    say: (line) => void process.stderr.write(`${line}\n`),
    found: () => found,
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  }
}
