/** The process of `startStoreProcess`: opens the store at the path given and does what its parent asks for. */
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
  // The parent's typed method made the question; the message has lost the pairing.
  const call = store[verb] as (...args: readonly unknown[]) => Promise<unknown>
  try {
    return { id, ok: true, value: await call(...args) }
  } catch (error) {
    return { id, ok: false, code: String(Reflect.get(Object(error), 'code') ?? 'other'), message: String(error) }
  }
}

await store.open()
// With the parent's end of the channel gone, nobody asks any more.
process.on('disconnect', () => process.exit())
process.on('message', (asked) => {
  void answer(asked as Asked).then((answered) => process.send?.(answered))
})
process.send?.('open')
