/**
 * Looks up the addresses of receivers, few names at once. Each lookup holds one of libuv's four threads, for many seconds
 * where a name server does not answer, and tasks need these threads for files.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** Finds all addresses of a name. */
export type FindAddresses = (name: string) => Promise<readonly LookupAddress[]>

const maxAtOnce = 2

/** @param find default: as the system does */
export function createLookup(find: FindAddresses = findAddresses): LookupFunction {
  const underWay = new Map<string, Promise<readonly LookupAddress[]>>()
  const waiting: (() => void)[] = []
  let running = 0

  async function inTurn(name: string): Promise<readonly LookupAddress[]> {
    if (running === maxAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await find(name)
    } finally {
      underWay.delete(name)
      const next = waiting.shift()
      // Its place is handed on.
      if (next === undefined) running -= 1
      else next()
    }
  }

  /** Those that ask for the same name meanwhile share the answer. */
  function addressesOf(name: string): Promise<readonly LookupAddress[]> {
    const shared = underWay.get(name) ?? inTurn(name)
    underWay.set(name, shared)
    return shared
  }

  return (name, { all }, found) => {
    addressesOf(name).then(
      (addresses) => {
        const [first] = addresses
        if (all === true) found(null, [...addresses])
        else found(null, first?.address ?? '', first?.family)
      },
      (error: NodeJS.ErrnoException) => found(error, ''),
    )
  }
}

function findAddresses(name: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(name, { all: true }, (error, addresses) => {
      if (error === null) resolve(addresses)
      else reject(error)
    })
  })
}
