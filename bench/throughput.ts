/**
 * npm run bench -- [--rounds 5] [--seconds 4] [--connections 50] [--kind io] [--json FILE]: Forerunner beside a
 * hand-written app that keeps nothing, and beside Koa alone, in turn on the same machine. Prints Markdown.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { forerunner, plain, volatileApp } from './contenders/contenders.ts'
import { startGenerator } from './rig/load.ts'
import { describeDisk, describeMachine } from './rig/machine.ts'
import { wholeNumber } from './rig/options.ts'
import { reportOf, type Entry } from './rig/report.ts'
import { measureRound } from './rig/round.ts'
import { startServer } from './rig/server.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '50' },
    kind: { type: 'string', default: 'io' },
    json: { type: 'string' },
  },
})
const rounds = wholeNumber('rounds', values.rounds)
const seconds = wholeNumber('seconds', values.seconds)
const connections = wholeNumber('connections', values.connections)
const warmUpSeconds = 4

const taskNames: Readonly<Record<string, readonly string[]>> = {
  io: ['first', 'second', 'third'],
  cpu: ['first', 'second-cpu', 'third-cpu'],
}
const names = taskNames[values.kind]
if (names === undefined) throw new Error(`--kind must be one of ${Object.keys(taskNames).join(', ')}`)
const body = JSON.stringify({ tasks: names.map((name) => ({ name })) })

const machine = describeMachine()
await using stack = new AsyncDisposableStack()
const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
stack.defer(() => rm(directory, { recursive: true, force: true }))
const generator = stack.use(startGenerator())
const entries: Entry[] = []
const servers = new Map<Entry, Awaited<ReturnType<typeof startServer>>>()
for (const contender of [plain, volatileApp, forerunner(directory)]) {
  const entry = { contender, rounds: [] }
  servers.set(entry, stack.use(await startServer(contender)))
  entries.push(entry)
}

/** Each contender once, in turn, so that whatever slows the machine down for a while slows all of them down. */
async function everyone(loadSeconds: number, keeps: boolean): Promise<void> {
  for (const [entry, server] of servers) {
    const round = await measureRound(entry.contender, server, generator, {
      body,
      connections,
      until: { seconds: loadSeconds },
    })
    if (keeps) entry.rounds.push(round)
  }
}

await everyone(warmUpSeconds, false)
for (let round = 1; round <= rounds; round += 1) {
  process.stderr.write(`round ${round} of ${rounds}\n`)
  await everyone(seconds, true)
}

const settings = `${rounds} rounds of ${seconds} s after ${warmUpSeconds} s of warm-up, ${connections} connections, background jobs of kind ${values.kind}, ${await describeDisk(directory)}`
process.stdout.write(`${machine}\n${settings}\n\n${reportOf(entries)}\n`)
if (values.json !== undefined) {
  await writeFile(values.json, `${JSON.stringify({ machine, settings, entries }, null, 2)}\n`)
}
