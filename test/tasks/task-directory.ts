/** A directory of task modules that a test writes: `await using directory = await taskDirectory({ 'a.ts': '…' })`. */
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface TaskDirectory extends AsyncDisposable {
  readonly path: string
}

/** @param files source text by file name; a name may have directories in it */
export async function taskDirectory(files: Readonly<Record<string, string>>): Promise<TaskDirectory> {
  const directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-tasks-'))
  for (const [name, source] of Object.entries({ 'package.json': '{ "type": "module" }', ...files })) {
    const file = join(directory.path, name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, source)
  }
  return directory
}
