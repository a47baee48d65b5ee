/** The tasks of one directory, each a module that is named by its file, or of the modules that are given. Read once, at boot. */
import { pathToFileURL } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { withoutExit } from './process-fence.ts'
import { listTaskFiles, listTaskModules, type TaskModules } from './task-modules.ts'
import { loadTask, type Task } from './task.ts'

export interface Registry {
  get(name: string): Task | undefined
  /** The name of the task that has this definition; undefined for another module's. */
  nameOf(definition: object): string | undefined
  /** Sorted by name. */
  all(): readonly Task[]
  /** What else is in the directory, each with the reason why it is no task. */
  readonly skipped: readonly string[]
}

const loadLimitMs = 30_000

/**
 * @param source a directory, or addresses of modules
 * @param onLoad called with the path of each module before it is loaded
 * @throws BootError that names the file: unreadable directory, bad module, bad or duplicate name
 */
export async function loadRegistry(source: string | TaskModules, onLoad?: (path: string) => void): Promise<Registry> {
  const { tasks: files, skipped } = await (typeof source === 'string' ? listTaskFiles(source) : listTaskModules(source))
  const tasks: Task[] = []
  // One after the other: modules that share a dependency would otherwise race to report its failure.
  for (const { name, path } of files) {
    onLoad?.(path)
    const load = (): Promise<Task> => loadTask(name, pathToFileURL(path).href)
    tasks.push(await withinLimit(withoutExit(path, load), path))
  }
  return registryOf(tasks, skipped)
}

/** @param all sorted by name */
export function registryOf(all: readonly Task[], skipped: readonly string[] = []): Registry {
  const byName = new Map(all.map((task) => [task.name, task]))
  const names = new Map(all.map(({ name, definition }) => [definition, name]))
  return { get: (name) => byName.get(name), nameOf: (definition) => names.get(definition), all: () => all, skipped }
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
