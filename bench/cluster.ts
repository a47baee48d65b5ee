/**
 * npm run cluster -- [--kills 10] [--seed 1]: two processes that answer and two that run jobs share one PostgreSQL; one
 * of them after the other is killed under load, and the server crashes once. Exit code 1 where anything is lost.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { undergo } from '../test/cluster/ordeal.ts'
import { startPostgres } from '../test/harness/postgres.ts'
import { describeMachine } from './rig/machine.ts'
import { wholeNumber } from './rig/options.ts'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '10' }, seed: { type: 'string', default: String(randomInt(2 ** 31)) } },
})
const kills = wholeNumber('kills', values.kills)
const seed = wholeNumber('seed', values.seed)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

say(`${describeMachine()}; seed ${seed}`)
// As it comes: with fsync.
const postgres = await startPostgres([])
const { wrong, ...figures } = await undergo({ postgres, kills, crashesServer: true, seed, say })
for (const [name, value] of Object.entries(figures)) say(`${name.padEnd(14)} ${Math.round(value * 10) / 10}`)
say(wrong.length === 0 ? 'nothing is lost, nothing was written late' : `WRONG: ${wrong.join('; ')}`)
await postgres.end()
process.exitCode = wrong.length === 0 ? 0 : 1
