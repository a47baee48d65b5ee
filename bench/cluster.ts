/**
 * npm run cluster -- [--kills 10] [--seed 1] [--delay 10]: two processes that answer and two that run jobs share one PostgreSQL; one
 * of them after the other is killed under load, and the server crashes once. With a delay, everything
 * takes so many milliseconds on its way to the server. Exit code 1 where anything is lost, or ended as nobody asked for.
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
// As it comes: with fsync.
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
