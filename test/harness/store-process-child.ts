/** The process of `startStoreProcess`: opens the store at the given path and executes the verbs that its parent sends. */
import type { Store } from '../../src/store/store.ts'
import { sqliteStore } from './store-sqlite.ts'

export type RemoteVerb = Exclude<
  keyof Store,
  'open' | 'onChange' | 'backlog' | 'pausedTasks' | 'notifier' | 'canSearch' | 'inbox'
>

export interface Asked {
  readonly id: number
  readonly verb: RemoteVerb
  readonly args: readonly unknown[]
}

export type Answered =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly code: string; readonly message: string }

const { store } = sqliteStore(process.argv[2] ?? '')

async function answer({ id, verb, args }: Asked): Promise<Answered> {
  // The parent's typed method made the message, which has lost the types.
  const call = store[verb] as (...args: readonly unknown[]) => Promise<unknown>
  try {
    return { id, ok: true, value: await call(...args) }
  } catch (error) {
    return { id, ok: false, code: String(Reflect.get(Object(error), 'code') ?? 'other'), message: String(error) }
  }
}

await store.open()
// When the channel is closed, the parent is gone.
process.on('disconnect', () => process.exit())
process.on('message', (asked) => {
  void answer(asked as Asked).then((answered) => process.send?.(answered))
})
process.send?.('open')
