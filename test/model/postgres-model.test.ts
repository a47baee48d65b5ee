/** PostgreSQL does what the model of the protocol says, with one process and with two, one of which may be taken for dead. */
import { test } from 'uvu'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, silence } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { entryAt } from '../harness/store-run.ts'
import { runModel } from './run-model.ts'
import { memberOf, type Member, type Subject } from './subject.ts'

/** Takes over only when it is asked to, and leaves no suspect alone: both are timed, and tested elsewhere. */
const timing = { aloneMs: 0, leaseMs: 60_000 }

interface Opened {
  readonly store: Store
  /** Its number in the database. */
  readonly process: number
}

/** @param roundMs between two looks at what others have left behind */
async function openProcesses(count: number, roundMs: number): Promise<Subject> {
  const schema = await lendSchema()
  const opened: Opened[] = []
  const members: Member[] = []
  let last = 0

  async function begin(place: number): Promise<void> {
    const before = await processes()
    const { store } = await openPostgres(schema, { ...timing, roundMs })
    const process = (await processes()).find((id) => !before.includes(id)) ?? 0
    last += 1
    opened[place] = { store, process }
    members[place] = memberOf(last, store)
  }

  async function processes(): Promise<number[]> {
    const rows = await schema.query<{ id: number }>('SELECT id FROM process').catch(() => [])
    return rows.map(({ id }) => id)
  }

  for (let place = 0; place < count; place += 1) await begin(place)
  return {
    members,
    isOrdered: false,
    isShared: true,
    async replace(place) {
      await opened[place]?.store.close()
      await begin(place)
    },
    async depose(place) {
      const { store, process } = entryAt(opened, place)
      await silence(schema, process)
      await begin(place)
      return { store, end: () => store.close() }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map(({ store }) => store.close()))
      await schema[Symbol.asyncDispose]()
    },
  }
}

// No round of its own: on a busy machine it would take back what the model's rescue is to find.
test('PostgreSQL follows the model with one process', () =>
  runModel(() => openProcesses(1, 60_000), { runs: 6, maxCommands: 80 }))

test('PostgreSQL follows the model with two processes', () =>
  runModel(() => openProcesses(2, 20), { runs: 6, maxCommands: 80, deposes: true }))

test.run()
