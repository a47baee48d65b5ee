/** PostgreSQL stores for tests, which are closed at the end of the test's scope; each schema acts as a database. */
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/log.ts'
import type { Timing } from '../../src/store/postgres/connection/connection.ts'
import type { PostgresOptions } from '../../src/store/postgres/parts.ts'
import type { Store } from '../../src/store/store.ts'
import type { Schema } from './postgres.ts'
import { withWarmThreads } from './warm-threads.ts'

// Compiled, as it is published: its thread starts several times faster than from TypeScript.
const built = new URL('../../dist/src/store/postgres/engine.js', import.meta.url).href
const { createPostgresStore } = (await import(built)) as typeof import('../../src/store/postgres/engine.ts')

export interface ScopedStore extends AsyncDisposable {
  readonly store: Store
}

type Place = Pick<Schema, 'url' | 'name'>

/** A store that is not open yet. */
export function postgresStore(
  { url, name }: Place,
  timing: Partial<Timing> = {},
  tasks?: readonly string[],
  hasSearch = false,
  options: Partial<PostgresOptions> = {},
): ScopedStore {
  const onLost = (error: Error): void => {
    throw error
  }
  const log = createLog('silent')
  const store = createPostgresStore({
    url,
    schema: name,
    connectWaitMs: 0,
    timing,
    ...(tasks && { tasks }),
    hasSearch,
    clock: systemClock,
    log,
    onLost,
    ...options,
  })
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

export async function openPostgres(
  place: Place,
  timing: Partial<Timing> = {},
  tasks?: readonly string[],
): Promise<ScopedStore> {
  const scoped = postgresStore(place, timing, tasks)
  await withWarmThreads(scoped.store.open)
  return scoped
}
