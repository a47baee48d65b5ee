/** Shares one resource among the tests of this process that run one after another, because starting threads is expensive. */

interface Shared<Value> {
  readonly started: Promise<Value>
  /** Number of tests that use it now. */
  users: number
  idle: NodeJS.Timeout | undefined
}

/** Tests follow each other in less time, and so do their files. */
const idleMs = 1_000

export interface Lent<Value> extends AsyncDisposable {
  readonly value: Value
}

/**
 * @param start creates one for the options
 * @param reset removes what a test has left in it, before the next test gets it
 * @param end ends one that no test has needed since
 */
export function shareByOptions<Options, Value>(
  start: (options: Options) => Promise<Value>,
  reset: (value: Value) => Promise<void>,
  end: (value: Value) => Promise<void>,
): (options: Options) => Promise<Lent<Value>> {
  const shared = new Map<string, Shared<Value>>()

  return async (options) => {
    const key = JSON.stringify(options)
    const one: Shared<Value> = shared.get(key) ?? { started: start(options), users: 0, idle: undefined }
    shared.set(key, one)
    one.users += 1
    clearTimeout(one.idle)
    const value = await one.started

    async function release(): Promise<void> {
      await reset(value)
      one.users -= 1
      if (one.users > 0) return
      one.idle = setTimeout(() => {
        shared.delete(key)
        void end(value)
      }, idleMs)
    }
    return { value, [Symbol.asyncDispose]: release }
  }
}
