/** A Redis server for this bench, which syncs every write to disk before it replies. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Redis extends AsyncDisposable {
  /** Path of its Unix socket: needs no port, and is faster. */
  readonly socket: string
  readonly version: string
}

const startLimitMs = 20_000
const pollMs = 20

/** @returns null if there is no `redis-server` on the path */
export async function startRedis(): Promise<Redis | null> {
  const version = /v=(?<number>\S+)/.exec(spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? '')
  if (version === null) return null
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-redis-'))
  const socket = join(directory, 'redis.sock')
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const settings = ['--port', '0', '--unixsocket', socket, '--dir', directory, ...durable]
  const child = spawn('redis-server', settings, { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  const killWithThis = (): void => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', killWithThis)
  const deadline = performance.now() + startLimitMs
  while (!existsSync(socket)) {
    if (performance.now() > deadline || child.exitCode !== null) throw new Error('redis-server did not start')
    await sleep(pollMs)
  }
  return {
    socket,
    version: version.groups?.['number'] ?? '?',
    async [Symbol.asyncDispose]() {
      process.off('exit', killWithThis)
      child.kill('SIGTERM')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}
