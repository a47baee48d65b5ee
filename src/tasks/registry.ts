/** The tasks of one directory: every module in it is a task, named by its file. Read once, at boot. */
import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { loadTask, type Task } from './task.ts'

export interface Registry {
  get(name: string): Task | undefined
  /** Sorted by name. */
  all(): readonly Task[]
}

const modulePattern = /^(?<name>[^.].*)\.(?:ts|js|mjs)$/
const declarationPattern = /\.d\.ts$/
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/
const loadLimitMs = 30_000

/**
 * Loads every `.ts`, `.js` and `.mjs` file directly in `directory`.
 * @throws BootError that names the file: unreadable directory, bad module, bad or duplicate name
 */
export async function loadRegistry(directory: string): Promise<Registry> {
  const files = await listModules(directory)
  const byName = new Map<string, string>()
  for (const file of files) {
    const name = modulePattern.exec(file)?.groups?.['name'] ?? ''
    const other = byName.get(name)
    if (!namePattern.test(name)) {
      throw new BootError(`${join(directory, file)}: a task's name is 1–64 letters, digits, "-" and "_"`)
    }
    if (other !== undefined) {
      throw new BootError(`${join(directory, file)} and ${join(directory, other)} define the same task "${name}"`)
    }
    byName.set(name, file)
  }
  const tasks = new Map<string, Task>()
  for (const [name, file] of byName) {
    const path = resolve(directory, file)
    // One after the other: modules that share a dependency would otherwise race to report its failure.
    tasks.set(name, await withinLimit(loadTask(name, pathToFileURL(path).href), path))
  }
  return { get: (name) => tasks.get(name), all: () => [...tasks.values()] }
}

async function listModules(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries
      .filter((entry) => !entry.isDirectory() && modulePattern.test(entry.name) && !declarationPattern.test(entry.name))
      .map((entry) => entry.name)
      .toSorted()
  } catch (error) {
    throw new BootError(`cannot read the tasks directory ${directory}: ${String(error)}`, error)
  }
}

async function withinLimit(loading: Promise<Task>, path: string): Promise<Task> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new BootError(`${path}: did not finish loading in 30 s`)), loadLimitMs)
  try {
    return await Promise.race([loading, promise])
  } finally {
    clearTimeout(timer)
  }
}
