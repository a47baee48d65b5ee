/** A year of ticks in three zones, whose processes are killed: on both engines each tick makes one run. */
import { join } from 'node:path'
import { test } from 'uvu'
import { startPostgresProxy, type Verdict } from '../harness/postgres-proxy.ts'
import { makeSchema } from '../harness/postgres.ts'
import { createRandom } from '../harness/random.ts'
import { startStoreProcess } from '../harness/store-process.ts'
import { postgresStore, openPostgres } from '../harness/store-postgres.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { liveThroughYear } from './year.ts'

test('SQLite: each tick of a year makes one run, however often its process is killed', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  let current: Awaited<ReturnType<typeof startStoreProcess>> | null = null
  await liveThroughYear(
    {
      processes: 1,
      async start() {
        const child = await startStoreProcess(path)
        current = child
        return {
          store: {
            notifier: null,
            dueSchedules: (...given) => child.call('dueSchedules', ...given),
            changeSchedule: (...given) => child.call('changeSchedule', ...given),
          },
          async die() {
            current = null
            await child.kill()
          },
        }
      },
      async look(ask) {
        if (current === null) {
          await using own = await openSqlite(path, 5_000)
          return await ask(own.store)
        }
        const { call } = current
        const verb =
          (name: string) =>
          (...given: unknown[]) =>
            call(name as 'stats', ...(given as [number]))
        return ask(new Proxy({}, { get: (_target, name) => verb(String(name)) }) as Store)
      },
    },
    3,
    8,
  )
})

/** A process that has died is soon known to be gone. */
const quick = { renewMs: 100, roundMs: 100 }

test('PostgreSQL: each tick of a year makes one run, while two processes race for it, are cut off, and die', async () => {
  await using schema = await makeSchema()
  await using own = await openPostgres(schema)
  const random = createRandom(5)
  const judge = (bytes: Buffer): Verdict =>
    bytes.includes('update-schedule') && random.chance(0.02)
      ? random.chance(0.5)
        ? 'cut-before'
        : 'cut-behind'
      : 'pass'
  await liveThroughYear(
    {
      processes: 2,
      async start() {
        const proxy = await startPostgresProxy(schema.url)
        const { store } = postgresStore({ url: proxy.url, name: schema.name }, quick)
        await store.open()
        proxy.judge(judge)
        return {
          store,
          async die() {
            await proxy[Symbol.asyncDispose]()
            await store.close()
          },
        }
      },
      look: (ask) => ask(own.store),
    },
    7,
    8,
  )
})

test.run()
