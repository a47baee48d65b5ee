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
    async replace() {
      await store.close()
      ;({ store } = await openSqlite(path))
      return store
    },
    async [Symbol.asyncDispose]() {
      await store.close()
      directory[Symbol.dispose]()
    },
  }
}

async function openMemory(): Promise<StoreUnderTest> {
  const opened = await openSqlite(':memory:')
  return { ...opened, replace: () => Promise.reject(new Error('a store in memory ends with its owner')) }
}

storeContract('SQLite file', openFile, { isDurable: true })
storeContract('SQLite in memory', openMemory, { isDurable: false })

test.run()
