/** What is asked of a store, and what it replies. */
import { isDeepStrictEqual } from 'node:util'
import type { Store } from '../../src/store/store.ts'

export const writeVerbs = [
  'accept',
  'claim',
  'complete',
  'fail',
  'release',
  'keepStep',
  'expire',
  'defer',
  'cancel',
  'retry',
  'remove',
  'rescue',
  'prune',
  'setPaused',
  'changeSchedule',
] as const
export const readVerbs = ['getRun', 'stepsOf', 'listRuns', 'stats', 'listSchedules'] as const

export type WriteVerb = (typeof writeVerbs)[number]
export type Verbs = Pick<Store, WriteVerb | (typeof readVerbs)[number]>

/** A verb that changes something, and the process of which it is asked. */
export type Call = {
  [Verb in WriteVerb]: { readonly verb: Verb; readonly by: number; readonly args: Parameters<Store[Verb]> }
}[WriteVerb]

/** `lost`: the process died first, so that nobody knows whether it was done. */
export type Reply = { readonly value: unknown } | { readonly rejected: string } | 'lost'

export function wasLost(reply: Reply): reply is 'lost' {
  return reply === 'lost'
}

/** Null where the reply is the one expected, or is not known; else what is wrong. */
export function says(reply: Reply, expected: unknown): string | null {
  if (wasLost(reply) || ('value' in reply && isDeepStrictEqual(reply.value, expected))) return null
  return `it replies ${JSON.stringify(reply)}, not ${JSON.stringify(expected)}`
}

export async function perform(store: Verbs, { verb, args }: Call): Promise<Reply> {
  // The verb's own arguments; the pairing is lost in the union.
  const ask = store[verb] as (...given: readonly unknown[]) => Promise<unknown>
  try {
    return { value: await ask(...args) }
  } catch (error) {
    const code: unknown = Reflect.get(Object(error), 'code')
    return typeof code === 'string' ? { rejected: code } : 'lost'
  }
}
