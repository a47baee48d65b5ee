import { test } from 'uvu'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import type { StoreUnderTest } from './contract/subject.ts'
import { storeContract } from './store-contract.ts'

/** Another test covers how long a suspect runs alone. */
const timing = { aloneMs: 0 }

async function openSchema(): Promise<StoreUnderTest> {
  const schema = await lendSchema()
  let { store } = await openPostgres(schema)
  return {
    store,
    async replace(tasks) {
      await store.close()
      ;({ store } = await openPostgres(schema, timing, tasks))
      return store
    },
    async [Symbol.asyncDispose]() {
      await store.close()
      await schema[Symbol.asyncDispose]()
    },
  }
}

storeContract('PostgreSQL', openSchema)

test.run()
