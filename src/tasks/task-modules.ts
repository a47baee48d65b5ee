/** Tasks given by the addresses of their modules, as a bundler can follow them: `new URL('./greet.ts', import.meta.url)`. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { isTaskName, listTaskFiles, type TaskFile, type TaskFiles } from './task-files.ts'

/**
 * Names of tasks, each with a path or a `file:` URL of its module. An address that ends with a slash is a directory: its
 * name is followed by that of each task in it and in its own directories, `reports-daily` for `reports/daily.ts`. An
 * address alone is such a directory without a name.
 */
export type TaskModules = URL | Readonly<Record<string, URL | string>>

/** @throws BootError that names what is wrong: an address, a name, a directory */
export async function listTaskModules(modules: TaskModules): Promise<TaskFiles> {
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
