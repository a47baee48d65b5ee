/** The tasks of one directory, each a module that is named by its file. Read once, at boot. */
import { pathToFileURL } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { withoutExit } from './exit-watch.ts'
import { listTaskFiles } from './task-files.ts'
import { loadTask, type Task } from './task.ts'

export interface Registry {
  get(name: string): Task | undefined
  /** Sorted by name. */
  all(): readonly Task[]
  /** What else is in the directory, each with the reason why it is no task. */
  readonly skipped: readonly string[]
}

const loadLimitMs = 30_000

/**
 * @param onLoad called with the path of each module before it is loaded
 * @throws BootError that names the file: unreadable directory, bad module, bad or duplicate name
 */
export async function loadRegistry(directory: string, onLoad?: (path: string) => void): Promise<Registry> {
  const { tasks: files, skipped } = await listTaskFiles(directory)
  const tasks = new Map<string, Task>()
  // One after the other: modules that share a dependency would otherwise race to report its failure.
  for (const { name, path } of files) {
    onLoad?.(path)
    const load = (): Promise<Task> => loadTask(name, pathToFileURL(path).href)
    tasks.set(name, await withinLimit(withoutExit(path, load), path))
  }
  return { get: (name) => tasks.get(name), all: () => [...tasks.values()], skipped }
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
