import * as assert from 'uvu/assert'

/** Fails unless the promise rejects with an error of this `code` or `name`; uvu's `throws` cannot await. */
export async function rejects(promise: Promise<unknown>, code: string): Promise<Error> {
  const error: unknown = await promise.then(
    () => new Error('nothing was rejected'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof Error)) throw new Error(`expected ${code}, got ${String(error)}`)
  const names = [Reflect.get(error, 'code'), error.name]
  assert.ok(names.includes(code), `expected ${code}, got ${names.join(' / ')}: ${error.message}`)
  return error
}
