/** One thing for all tests of this process that ask for it, one after another: starting threads is what costs most in them. */

interface Shared<Value> {
  readonly started: Promise<Value>
  /** Tests that have it now. */
  users: number
  idle: NodeJS.Timeout | undefined
}

/** Tests follow each other in less. */
const idleMs = 100

export interface Lent<Value> extends AsyncDisposable {
  readonly value: Value
}

/**
 * @param start makes one that suits the options
 * @param reset takes away what a test has left in it, before the next one gets it
 * @param end of one that no test has asked for since
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
