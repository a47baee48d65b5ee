import { join } from 'node:path'
import { test } from 'uvu'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'
import type { StoreUnderTest } from './contract/subject.ts'
import { storeContract } from './store-contract.ts'

async function openFile(): Promise<StoreUnderTest> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  let { store } = await openSqlite(path)
  return {
    store,
    async replace(tasks) {
      await store.close()
      ;({ store } = await openSqlite(path, 0, tasks))
      return store
    },
    async [Symbol.asyncDispose]() {
      await store.close()
      directory[Symbol.dispose]()
    },
  }
}

// A store in memory is the same but for the disk, and all that is tested over HTTP runs on it.
storeContract('SQLite', openFile)

test.run()
