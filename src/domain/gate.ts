/** Lets a few pieces of work be under way at once; the others wait in their order. */
export type Gate = <Value>(work: () => Promise<Value>) => Promise<Value>

export function createGate(atOnce: number): Gate {
  const waiting: (() => void)[] = []
  let running = 0

  return async (work) => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      // Its place is handed on.
      if (next === undefined) running -= 1
      else next()
    }
  }
}
