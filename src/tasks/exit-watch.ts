/** Makes `process.exit` fail in a module that is being loaded: the start would end there, even as a success. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { BootError } from '../domain/errors.ts'

const loading = new AsyncLocalStorage<string>()

/** @throws BootError that names the file when its module wants to end the process; else whatever `load` throws */
export async function withoutExit<Value>(path: string, load: () => Promise<Value>): Promise<Value> {
  const { exit } = process
  process.exit = (code) => {
    // What is not the module's doing ends the process as ever.
    if (loading.getStore() === undefined) return exit(code)
    throw new BootError(`${path}: calls process.exit(${code ?? ''}) while it is loaded`)
  }
  try {
    return await loading.run(path, load)
  } finally {
    process.exit = exit
  }
}
