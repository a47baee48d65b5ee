/**
 * npm run cluster -- [--kills 10] [--seed 1] [--delay 10]: two processes for requests and two for jobs share one
 * PostgreSQL. Under load they are killed one after another, and the server crashes once. `--delay` adds milliseconds to
 * each message to the server. Exit code 1 if a job is lost, or ended in a way that nothing in the load explains.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { undergo } from '../test/cluster/ordeal.ts'
import { startPostgres } from '../test/harness/postgres.ts'
import { describeMachine } from './rig/machine.ts'
import { wholeNumber } from './rig/options.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(randomInt(1, 1_000_000_000)) },
    delay: { type: 'string' },
  },
})
const kills = wholeNumber('kills', values.kills)
const seed = wholeNumber('seed', values.seed)
const delayMs = values.delay === undefined ? 0 : wholeNumber('delay', values.delay)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

say(`${describeMachine()}; seed ${seed}`)
// With its default settings, including fsync.
const postgres = await startPostgres([])
const { wrong, ...figures } = await undergo({ postgres, kills, crashesServer: true, seed, delayMs, say })
for (const [name, value] of Object.entries(figures)) say(`${name.padEnd(14)} ${Math.round(value * 10) / 10}`)
say(
  wrong.length === 0
    ? 'nothing is lost, nothing was written late, and nothing ended as nobody asked for'
    : `WRONG: ${wrong.join('; ')}`,
)
await postgres.end()
process.exitCode = wrong.length === 0 ? 0 : 1
