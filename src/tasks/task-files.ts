/** The rule by which a file of the tasks directory is a task, is left out, or stops the start. */
import { readdir, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BootError } from '../domain/errors.ts'

export interface TaskFile {
  readonly name: string
  readonly path: string
}

export interface TaskFiles {
  /** Sorted by name. */
  readonly tasks: readonly TaskFile[]
  /** Everything else but dot files and what a compiler writes beside modules, each with the reason: `a.test.ts (a test)`. */
  readonly skipped: readonly string[]
  /** Names of the directories in it, which are skipped as well. */
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
 * @param prefix of each task's name
 * @throws BootError that names the file: unreadable directory, bad or duplicate name
 */
export async function listTaskFiles(directory: string, prefix = ''): Promise<TaskFiles> {
  const tasks = new Map<string, TaskFile>()
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
    const other = tasks.get(name)
    if (!isTaskName(name)) {
      throw new BootError(`${path}: a task's name is 1–64 letters, digits, "-" and "_"; begin a helper's with "_"`)
    }
    if (other !== undefined) throw new BootError(`${path} and ${other.path} define the same task "${name}"`)
    tasks.set(name, { name, path })
  }
  return { tasks: [...tasks.values()], skipped, directories }
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
  // Where a link leads to nothing, loading it says so.
  const stats = await stat(path).catch(() => undefined)
  if (stats?.isDirectory() === true) return aDirectory
  if (file.startsWith('_')) return 'begins with "_"'
  if (!modulePattern.test(file)) return 'not a .ts, .mts, .cts, .js, .mjs or .cjs file'
  if (/\.(?:test|spec)\.[cm]?[jt]s$/.test(file)) return 'a test'
  // Reading a pipe or a device may never end.
  if (stats?.isFile() === false) return 'not a regular file'
  return null
}
