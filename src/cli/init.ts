/** forerunner init: a project with a task, its test and everything that is needed to start it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { version } from '../domain/version.ts'
import type { AddCommand, Context } from './context.ts'
import { exitCodes, UsageError } from './exit-code.ts'
import { dockerfile, gitignore, taskModule, taskTest, tsconfig } from './init-files.ts'
import { print, printJson } from './terminal.ts'

type Package = Readonly<Record<string, unknown>>

export const addInit: AddCommand = (program, act) => {
  program
    .command('init')
    .description('write a project that works: a task, its test, scripts, a Dockerfile; what is there stays')
    .argument('[directory]', 'default: this one', '.')
    .action(
      act(async ({ isJson }: Context, given: string) => {
        const directory = resolve(given)
        await mkdir(directory, { recursive: true })
        const found = await readPackage(directory)
        // Node takes `.ts` for CommonJS where the package says so.
        const ending = found === undefined || found['type'] === 'module' ? 'ts' : 'mts'
        const files: Readonly<Record<string, string>> = {
          [`workers/hello.${ending}`]: taskModule,
          [`test/hello.test.${ending}`]: taskTest(ending),
          'tsconfig.json': tsconfig,
          Dockerfile: dockerfile,
          '.dockerignore': gitignore,
          '.gitignore': gitignore,
        }
        const written: string[] = []
        for (const [path, content] of Object.entries(files)) {
          if (await writeNew(join(directory, path), content)) written.push(path)
        }
        await writeFile(join(directory, 'package.json'), packageText(found, directory, ending))
        written.push('package.json')
        if (isJson) printJson({ directory, written })
        else {
          for (const path of written) print(`wrote ${path}`)
          print('\nnext: npm install, npm test, npm start; and in another terminal: npx forerunner run hello --watch')
        }
        return exitCodes.done
      }),
    )
}

async function readPackage(directory: string): Promise<Package | undefined> {
  const path = join(directory, 'package.json')
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Package
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'ENOENT') return undefined
    throw new UsageError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** With what it has, and what it lacks. */
function packageText(found: Package | undefined, directory: string, ending: string): string {
  const bare = { name: nameOf(directory), private: true, type: 'module' }
  const given = found ?? bare
  const scripts = { ...Object(given['scripts' as keyof typeof given]) } as Record<string, string>
  // The one that `npm init` writes says that there is none.
  if (scripts['test']?.includes('no test specified') === true) delete scripts['test']
  const whole = {
    ...given,
    scripts: {
      start: 'forerunner serve',
      dev: 'forerunner dev',
      test: `node --test "test/**/*.test.${ending}"`,
      ...scripts,
    },
    dependencies: { forerunner: `^${version}`, ...Object(given['dependencies' as keyof typeof given]) },
  }
  return `${JSON.stringify(whole, null, 2)}\n`
}

function nameOf(directory: string): string {
  return (
    basename(directory)
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'jobs'
  )
}

/** @returns false where there is such a file: it stays as it is */
async function writeNew(path: string, content: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true })
  try {
    await writeFile(path, content, { flag: 'wx' })
    return true
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'EEXIST') return false
    throw error
  }
}
