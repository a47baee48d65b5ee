/** The tasks of the service, from the files of a directory or from given modules. Read once, at boot. */
import { pathToFileURL, fileURLToPath } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { withoutExit } from './process-fence.ts'
import { loadTask } from './module-loading.ts'
import type { Task } from './task-module.ts'
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'

export interface Registry {
  get(name: string): Task | undefined
  /** The name of the task with this definition; undefined: no task has it. */
  nameOf(definition: object): string | undefined
  /** Sorted by name. */
  all(): readonly Task[]
  /** Files and directories that are not tasks, each with the reason. */
  readonly skipped: readonly string[]
}

const loadLimitMs = 30_000

/**
 * @param source a directory, or addresses of modules
 * @param onLoad called with the path of each module before it is loaded
 * @throws BootError that names the file: unreadable directory, invalid module, invalid or duplicate name
 */
export async function loadRegistry(source: string | TaskModules, onLoad?: (path: string) => void): Promise<Registry> {
  const { tasks: files, skipped } = await (typeof source === 'string' ? listTaskFiles(source) : listTaskModules(source))
  const tasks: Task[] = []
  // One after the other: when a dependency of several modules fails, the first module reports it.
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

export interface TaskFile {
  readonly name: string
  readonly path: string
}

interface TaskFiles {
  /** Sorted by name. */
  readonly tasks: readonly TaskFile[]
  /** Other files and directories, each with the reason: `a.test.ts (a test)`. Dot files and compiled files are left out. */
  readonly skipped: readonly string[]
  /** Names of the directories. */
  readonly directories: readonly string[]
}

const modulePattern = /^(?<name>.+)\.[cm]?[jt]s$/
/** Declarations and source maps. */
const compiledPattern = /\.(?:d\.[cm]?ts|map)$/
const aDirectory = 'a directory'
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

export function isTaskName(name: string): boolean {
  return namePattern.test(name)
}

/**
 * @param prefix of the tasks' names
 * @throws BootError that names the file: unreadable directory, invalid or duplicate name
 */
export async function listTaskFiles(directory: string, prefix = ''): Promise<TaskFiles> {
  const tasks: TaskFile[] = []
  const skipped: string[] = []
  const directories: string[] = []
  for (const file of await readNames(directory)) {
    const path = resolve(directory, file)
    const reason = await whyNoTask(file, path)
    if (reason === aDirectory) directories.push(file)
    if (reason !== null) {
      skipped.push(`${file} (${reason})`)
      continue
    }
    const name = `${prefix}${modulePattern.exec(file)?.groups?.['name'] ?? ''}`
    if (!isTaskName(name)) {
      throw new BootError(`${path}: a task's name is 1–64 letters, digits, "-" and "_"; begin a helper's with "_"`)
    }
    tasks.push({ name, path })
  }
  return { tasks: sorted(tasks), skipped, directories }
}

async function readNames(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory)
    return names.filter((name) => !name.startsWith('.') && !compiledPattern.test(name)).toSorted()
  } catch (error) {
    throw new BootError(`cannot read the tasks directory ${resolve(directory)}: ${String(error)}`, error)
  }
}

async function whyNoTask(file: string, path: string): Promise<string | null> {
  // A broken link counts as a task, and the error of its loading names it.
  const stats = await stat(path).catch(() => undefined)
  if (stats?.isDirectory() === true) return aDirectory
  if (file.startsWith('_')) return 'begins with "_"'
  if (!modulePattern.test(file)) return 'not a .ts, .mts, .cts, .js, .mjs or .cjs file'
  if (/\.(?:test|spec)\.[cm]?[jt]s$/.test(file)) return 'a test'
  // Reading a pipe or a device may never end.
  if (stats?.isFile() === false) return 'not a regular file'
  return null
}

/**
 * Tasks by name, each with a path or a `file:` URL of its module. Bundlers can follow `new URL('./greet.ts',
 * import.meta.url)`. An address that ends with a slash is a directory: its name is the prefix of the tasks in it and in its
 * subdirectories, `reports-daily` for `reports/daily.ts`. A single URL is a directory without a prefix.
 */
export type TaskModules = URL | Readonly<Record<string, URL | string>>

/** @throws BootError for an invalid address, name or directory */
async function listTaskModules(modules: TaskModules): Promise<TaskFiles> {
  if (modules instanceof URL) return listTree(pathOf('tasks', modules), '')
  const tasks: TaskFile[] = []
  const skipped: string[] = []
  for (const [name, address] of Object.entries(modules)) {
    const path = pathOf(name, address)
    if (!isTaskName(name)) throw new BootError(`tasks: "${name}" is no name: 1–64 letters, digits, "-" and "_"`)
    if (!/[/\\]$/.test(String(address))) tasks.push({ name, path })
    else {
      const tree = await listTree(path, `${name}-`)
      tasks.push(...tree.tasks)
      skipped.push(...tree.skipped)
    }
  }
  return { tasks: sorted(tasks), skipped, directories: [] }
}

async function listTree(directory: string, prefix: string): Promise<TaskFiles> {
  const { tasks, skipped, directories } = await listTaskFiles(directory, prefix)
  const inner = await Promise.all(
    directories
      .filter((name) => !name.startsWith('_') && name !== 'node_modules')
      .map((name) => listTree(join(directory, name), `${prefix}${name}-`)),
  )
  return {
    tasks: sorted([...tasks, ...inner.flatMap((tree) => tree.tasks)]),
    skipped: [...skipped.filter((what) => !what.endsWith(' (a directory)')), ...inner.flatMap((tree) => tree.skipped)],
    directories: [],
  }
}

/** @throws BootError for two modules with the same name */
function sorted(tasks: readonly TaskFile[]): TaskFile[] {
  const byName = tasks.toSorted((one, other) => (one.name < other.name ? -1 : 1))
  const twice = byName.find(({ name }, index) => byName[index + 1]?.name === name)
  if (twice === undefined) return byName
  const [one, other] = byName.filter(({ name }) => name === twice.name).map(({ path }) => path)
  throw new BootError(`${one} and ${other} define the same task "${twice.name}"`)
}

function pathOf(name: string, address: unknown): string {
  const isUrl = address instanceof URL || /^[a-z][a-z\d+.-]+:/i.test(String(address))
  if (!isUrl && typeof address === 'string' && address !== '') return resolve(address)
  try {
    return fileURLToPath(String(address))
  } catch (error) {
    throw new BootError(`tasks: the address of "${name}" must be a path or a file: URL of a module`, error)
  }
}
