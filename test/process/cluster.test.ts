/** Four processes on one database, two of which are killed under load: the short form of `npm run cluster`. */
import { randomInt } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { undergo } from '../cluster/ordeal.ts'
import { sharedPostgres } from '../harness/postgres.ts'

test('every acknowledged run becomes final, though processes are killed under load', async () => {
  const seed = Number(process.env['CLUSTER_SEED'] ?? randomInt(2 ** 31))
  const postgres = await sharedPostgres()
  const told: string[] = []
  const say = (line: string): void => void told.push(line)
  const { wrong, ...figures } = await undergo({ postgres, kills: 2, crashesServer: false, seed, say })
  console.log(`cluster test: CLUSTER_SEED=${seed} ${JSON.stringify(figures)}`)
  assert.equal(wrong, [], told.join('\n'))
})

test.run()
