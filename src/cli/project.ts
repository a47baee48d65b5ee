/** forerunner init and types: write the files of a project, and the types of its tasks. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { readConfig } from '../config.ts'
import { messageOf } from '../domain/errors.ts'
import { version } from '../runtime/package.ts'
import { listTaskFiles, type TaskFile } from '../tasks/registry.ts'
import { type AddCommand, type Context, exitCodes, UsageError } from './context.ts'
import { complain, confirm, isInteractive, print, printJson, styled } from './terminal.ts'

interface Package {
  readonly name?: string
  readonly type?: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

export const addInit: AddCommand = (program, act) => {
  program
    .command('init')
    .description(
      'write a working project: a task, its test, scripts, a Dockerfile; existing files stay, and package.json is completed',
    )
    .argument('[directory]', 'default: the current one')
    .action(
      act(async ({ isJson, name }: Context, given: string | undefined) => {
        const directory = resolve(given ?? '.')
        const found = await readPackage(directory)
        if (given === undefined && !isJson && !(await isIntended(directory, found))) {
          complain(`nothing was written; name a directory: ${name} init DIRECTORY`)
          return exitCodes.failed
        }
        const written = await writeProject(directory, found)
        if (isJson) printJson({ directory, written })
        else {
          for (const path of written) print(`${styled('green', 'wrote')} ${path}`)
          print(`\n${nextSteps(directory, given)}`)
        }
        return exitCodes.done
      }),
    )
}

/** @returns undefined if the directory has none */
async function readPackage(directory: string): Promise<Package | undefined> {
  const path = join(directory, 'package.json')
  try {
    const found: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof found !== 'object' || found === null) throw new Error('it is no object')
    return found
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'ENOENT') return undefined
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`)
  }
}

/** Asks if the directory has other files and no package.json: it may be the wrong one. */
async function isIntended(directory: string, found: Package | undefined): Promise<boolean> {
  if (found !== undefined || !isInteractive()) return true
  const others = (await readdir(directory)).filter((name) => !name.startsWith('.'))
  return others.length === 0 || confirm(`${directory} has other files and no package.json. Write a project into it?`)
}

/** Existing files stay as they are; package.json gets what it lacks. @returns the files that were written */
async function writeProject(directory: string, found: Package | undefined): Promise<string[]> {
  // In a package that is not a module, Node runs `.ts` as CommonJS.
  const ending = found === undefined || found.type === 'module' ? 'ts' : 'mts'
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
  const base = found ?? { name: packageName(directory), private: true, type: 'module' }
  const completed = completePackage(base, ending)
  if (isDeepStrictEqual(found, completed)) return written
  await writeFile(join(directory, 'package.json'), `${JSON.stringify(completed, null, 2)}\n`)
  return [...written, 'package.json']
}

/** @returns false if the file exists; it stays as it is */
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

function packageName(directory: string): string {
  const name = basename(directory)
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
  return name.replace(/^-+|-+$/g, '') || 'jobs'
}

/** Adds what the package lacks. */
function completePackage(base: Package, ending: string): Package {
  const { test, ...scripts } = base.scripts ?? {}
  // The script that `npm init` writes fails, saying that there is no test.
  const hasTest = test !== undefined && !test.includes('no test specified')
  return {
    ...base,
    scripts: {
      start: 'forerunner serve',
      dev: 'forerunner dev',
      test: hasTest ? test : `node --test "test/**/*.test.${ending}"`,
      types: 'tsc',
      ...scripts,
    },
    dependencies: { forerunner: `^${version}`, ...base.dependencies },
    // For `npm run types` only.
    devDependencies: { '@types/node': '^24.0.0', typescript: '^7.0.0', ...base.devDependencies },
  }
}

function nextSteps(directory: string, given: string | undefined): string {
  const isInstalled = existsSync(join(directory, 'node_modules/forerunner'))
  const isElsewhere = given !== undefined && directory !== resolve('.')
  const steps: Step[] = [
    ['npm start', 'the service, at http://127.0.0.1:3000'],
    ['npx forerunner run hello --watch', 'in another terminal'],
    ['npm test', 'of the task'],
    // If Forerunner is installed, the compiler may still be missing.
    [isInstalled ? 'npm install && npm run types' : 'npm run types', 'the compiler'],
  ]
  if (!isInstalled) steps.unshift(['npm install', ''])
  if (isElsewhere) steps.unshift([`cd ${given}`, ''])
  return ['next:', ...stepLines(steps)].join('\n')
}

type Step = readonly [command: string, why: string]

export function stepLines(steps: readonly Step[]): string[] {
  return steps.map(([command, why]) => `  ${styled('cyan', command.padEnd(34))}${styled('dim', why)}`.trimEnd())
}

export const addTypes: AddCommand = (program, act) => {
  program
    .command('types')
    .description('write the types of the tasks in TASKS_DIR, for createClient<Tasks>')
    .option('--out <file>', 'file to write', 'forerunner-tasks.d.ts')
    .action(
      act(async ({ environment, isJson }: Context, { out }: { readonly out: string }) => {
        const { tasksDir } = readConfig(environment)
        const { tasks } = await listTaskFiles(tasksDir)
        const file = resolve(out)
        await writeFile(file, declarationOf(tasks, dirname(file))).catch((error: unknown) => {
          throw new UsageError(`the types cannot be written: ${messageOf(error)}`)
        })
        if (isJson) printJson({ file, tasks: tasks.map(({ name }) => name) })
        else print(`wrote the types of ${tasks.length === 1 ? '1 task' : `${tasks.length} tasks`} to ${out}`)
      }),
    )
}

/** A declaration for `createClient<Tasks>` and `createForerunner<Tasks>`. */
function declarationOf(tasks: readonly TaskFile[], directory: string): string {
  const members = tasks.map(({ name, path }) => {
    // A path to another directory begins with `../` already.
    const address = `./${relative(directory, path).replaceAll(sep, '/')}`.replace(/^\.\/\.\.\//, '../')
    return `  ${JSON.stringify(name)}: typeof import(${JSON.stringify(address)}).default\n`
  })
  return `// Written by "forerunner types": write it again when a task is added, renamed or removed.\nexport type Tasks = {\n${members.join('')}}\n`
}

const taskModule = `import { defineTask } from 'forerunner'

/** Of its input nothing is known here; give it a schema of zod, valibot or arktype as \`input\` to have it checked. */
export default defineTask({
  timeoutMs: 30_000,
  maxAttempts: 3,
  async run(input, { signal, progress }) {
    for (let step = 1; step <= 10; step += 1) {
      signal.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 100))
      progress(step / 10, \`step \${step} of 10\`)
    }
    return { hello: input ?? 'world' }
  },
})
`

const taskTest = (ending: string): string => `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runTask } from 'forerunner/testing'
import hello from '../workers/hello.${ending}'

test('says hello, and how far it is', async () => {
  const { result, progress } = await runTask(hello, 'you')
  assert.deepEqual(result, { hello: 'you' })
  assert.equal(progress.length, 10)
})
`

const tsconfig = `{
  "compilerOptions": {
    "target": "es2024",
    "lib": ["es2024", "esnext.disposable"],
    "module": "nodenext",
    "types": ["node"],
    "strict": true,
    "noEmit": true,
    "erasableSyntaxOnly": true,
    "allowImportingTsExtensions": true
  },
  "include": ["workers", "test"]
}
`

const dockerfile = `# docker build -t jobs . && docker run -e API_KEYS=… -p 127.0.0.1:3000:3000 -v jobs:/data --stop-timeout 20 jobs
FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 DATABASE_URL=sqlite:/data/forerunner.db
# See "Memory" in the operations guide.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1000000 MALLOC_TRIM_THRESHOLD_=1000000
WORKDIR /app
COPY package.json package-lock.json* ./
RUN npm install --omit=dev --no-audit --no-fund
COPY workers ./workers
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 3000
CMD ["node", "--max-semi-space-size=16", "node_modules/forerunner/dist/src/cli.js", "serve"]
`

const gitignore = `node_modules/
data/
`
