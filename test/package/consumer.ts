/**
 * A folder of somebody else's with the package installed by npm, from the file that is published. The packages that it
 * needs are put there beforehand, from the lock file, so that nothing is asked of a registry.
 */
import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = fileURLToPath(new URL('../../', import.meta.url))
/** The versions that the package is to work on: each is a package of npm's, in a folder of its own. */
export const nodes = ['node_modules/node/bin/node', '.scripts/node-26/node_modules/node/bin/node'].map((path) =>
  join(root, path),
)
const limitMs = 120_000
const plainPackage = '{ "name": "consumer", "private": true, "type": "module" }'
const execute = promisify(execFile)

export interface Ended {
  readonly code: number | null
  readonly output: string
}

export interface Consumer extends AsyncDisposable {
  readonly directory: string
  write(path: string, content: string): Promise<void>
  /** Runs a program of its `node_modules/.bin`, or Node with a script, and takes both of its outputs together. */
  run(file: string, ...args: readonly string[]): Promise<Ended>
  /** The same with another Node, that of this path. */
  runOn(node: string, file: string, ...args: readonly string[]): Promise<Ended>
  /** What the compiler says about its files; empty where nothing is wrong. */
  compile(module: 'nodenext' | 'bundler', ...files: readonly string[]): Promise<string>
}

/** @param begin makes a `package.json` in the empty folder, before the package is installed */
export async function makeConsumer(begin?: string): Promise<Consumer> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-consumer-'))
  const at = (path: string): string => join(directory, path)

  async function runOn(node: string, file: string, ...args: readonly string[]): Promise<Ended> {
    const program = file === 'node' ? node : at(`node_modules/.bin/${file}`)
    const child = spawn(program, args, {
      cwd: directory,
      // Nothing else of the tester's environment.
      env: { PATH: `${dirname(node)}:${process.env['PATH']}`, HOME: process.env['HOME'] },
      timeout: limitMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
    const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
    return { code, output: output + errors }
  }

  const run: Consumer['run'] = (...given) => runOn(process.execPath, ...given)
  const consumer: Consumer = {
    directory,
    write: (path, content) => writeFile(at(path), content),
    run,
    runOn,
    async compile(module, ...files) {
      const kinds = module === 'nodenext' ? ['nodenext', 'nodenext'] : ['esnext', 'bundler']
      const strict = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--noEmit']
      const target = ['--target', 'es2024', '--lib', 'es2024,esnext.disposable', '--types', 'node']
      const resolution = ['--module', kinds[0] ?? '', '--moduleResolution', kinds[1] ?? '']
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      return (await run('node', tsc, ...strict, ...target, ...resolution, ...files)).output
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }

  try {
    const packing = ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory]
    const { stdout } = await execute('npm', packing, { cwd: root, timeout: limitMs })
    await copyPackages(directory)
    if (begin === undefined) await consumer.write('package.json', plainPackage)
    else await execute('sh', ['-c', begin], { cwd: directory, timeout: limitMs })
    const installing = ['install', `./${stdout.trim()}`, '--offline', '--ignore-scripts', '--no-audit', '--no-fund']
    await execute('npm', installing, { cwd: directory, timeout: limitMs })
    return consumer
  } catch (error) {
    await consumer[Symbol.asyncDispose]()
    throw error
  }
}

interface LockedPackage {
  readonly dev?: true
  readonly devOptional?: true
  readonly optional?: true
}

/** Those that are no tools of ours; of the optional ones, those of this system. */
async function copyPackages(directory: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>
  }
  for (const [path, { dev, devOptional, optional }] of Object.entries(lock.packages)) {
    if (path === '' || dev === true || devOptional === true) continue
    await cp(join(root, path), join(directory, path), { recursive: true }).catch((error: unknown) => {
      if (optional !== true) throw error
    })
  }
}
