/** SQLite stores for tests, which are closed at the end of the test's scope, and directories for their files. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../src/log.ts'
import type { Store } from '../../src/store/store.ts'
import { withWarmThreads } from './warm-threads.ts'

// Compiled, as it is published: its thread starts several times faster than from TypeScript.
const built = new URL('../../dist/src/store/sqlite/engine.js', import.meta.url).href
const { createSqliteStore } = (await import(built)) as typeof import('../../src/store/sqlite/engine.ts')

export interface TemporaryDirectory extends Disposable {
  readonly path: string
}

export function temporaryDirectory(): TemporaryDirectory {
  const path = mkdtempSync(join(tmpdir(), 'forerunner-store-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Closed at the end of the scope, whether it was opened, refused, or is still being opened. */
export interface ScopedStore extends AsyncDisposable {
  readonly store: Store
}

/** A store that is not open yet. */
export function sqliteStore(path: string, lockWaitMs = 0, tasks?: readonly string[], hasSearch = false): ScopedStore {
  const onLost = (error: Error): void => {
    throw error
  }
  const log = createLog('silent')
  const store = createSqliteStore({ path, lockWaitMs, ...(tasks && { tasks }), hasSearch, onLost, log })
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

export async function openSqlite(path: string, lockWaitMs = 0, tasks?: readonly string[]): Promise<ScopedStore> {
  const scoped = sqliteStore(path, lockWaitMs, tasks)
  await withWarmThreads(scoped.store.open)
  return scoped
}
