/**
 * A user's folder with the package installed by npm from the packed file. The packages that it needs are put there
 * beforehand, according to the lock file, so that npm requests nothing from a registry.
 */
import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = fileURLToPath(new URL('../../', import.meta.url))
/** The Node versions that the package supports; each is an npm package in its own folder. */
export const nodes = ['node_modules/node/bin/node', '.scripts/node-26/node_modules/node/bin/node'].map((path) =>
  join(root, path),
)
const limitMs = 120_000
const execute = promisify(execFile)

export interface Ended {
  readonly code: number | null
  readonly output: string
}

/** A folder in which the package is installed. */
export interface Folder {
  readonly directory: string
  write(path: string, content: string): Promise<void>
  /** Runs a program of `node_modules/.bin`, or Node with a script; returns both outputs together. */
  run(file: string, ...args: readonly string[]): Promise<Ended>
  /** The same with the Node at this path. */
  runOn(node: string, file: string, ...args: readonly string[]): Promise<Ended>
  /** The compiler's messages about its files; empty if there are none. */
  compile(module: 'nodenext' | 'bundler', ...files: readonly string[]): Promise<string>
}

export interface Consumer extends Folder, AsyncDisposable {
  /** Another package in a subfolder, which finds what is installed here. */
  below(name: string): Promise<Folder>
}

/** @param begin creates a `package.json` in the empty folder, before the package is installed */
export async function makeConsumer(begin: string): Promise<Consumer> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-consumer-'))
  const consumer: Consumer = {
    ...openFolder(directory, directory),
    async below(name) {
      const folder = openFolder(join(directory, name), directory)
      await mkdir(folder.directory)
      await folder.write('package.json', '{ "name": "below", "private": true, "type": "module" }')
      return folder
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }

  try {
    const packing = ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory]
    const { stdout } = await execute('npm', packing, { cwd: root, timeout: limitMs })
    copyPackages(directory)
    await execute('sh', ['-c', begin], { cwd: directory, timeout: limitMs })
    const installing = ['install', `./${stdout.trim()}`, '--offline', '--ignore-scripts', '--no-audit', '--no-fund']
    await execute('npm', installing, { cwd: directory, timeout: limitMs })
    return consumer
  } catch (error) {
    await consumer[Symbol.asyncDispose]()
    throw error
  }
}

/** @param installed the folder whose `node_modules` contains the package */
function openFolder(directory: string, installed: string): Folder {
  async function runOn(node: string, file: string, ...args: readonly string[]): Promise<Ended> {
    const program = file === 'node' ? node : join(installed, 'node_modules/.bin', file)
    const child = spawn(program, args, {
      cwd: directory,
      // Without the test runner's other variables.
      env: { PATH: `${dirname(node)}:${process.env['PATH']}`, HOME: process.env['HOME'] },
      timeout: limitMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
    const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
    return { code, output: output + errors }
  }

  const run: Folder['run'] = (...given) => runOn(process.execPath, ...given)
  return {
    directory,
    write: (path, content) => writeFile(join(directory, path), content),
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
  }
}

interface LockedPackage {
  readonly dev?: true
  readonly devOptional?: true
  readonly optional?: true
}

/** Without development dependencies; of the optional ones, only those for this system. */
function copyPackages(directory: string): void {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>
  }
  for (const [path, { dev, devOptional, optional }] of Object.entries(lock.packages)) {
    if (path === '' || dev === true || devOptional === true) continue
    if (optional === true && !existsSync(join(root, path))) continue
    // Several times faster than the asynchronous one.
    cpSync(join(root, path), join(directory, path), { recursive: true })
  }
}
