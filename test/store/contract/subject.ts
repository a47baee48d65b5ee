/** What the chapters of the store contract are given: a way to register a test, and in each test a store of its own. */
import type { Store } from '../../../src/store/store.ts'

export interface StoreUnderTest extends AsyncDisposable {
  /** Open, and empty at first. */
  readonly store: Store
  /**
   * Ends the store's owner with nothing settled or handed back, and lets another owner open what it left.
   * @param tasks that run there; default: any
   */
  replace(tasks?: readonly string[]): Promise<Store>
}

/** Registers one test, which gets a store of its own. */
export type Register = (what: string, body: (subject: StoreUnderTest) => Promise<void>) => void
