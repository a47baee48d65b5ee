// Compiles src/ and workers/ into dist/, and web/ into dist/web. Each of the two is skipped if its sources have not
// changed. The output is created next to dist/ and moved file by file with rename, so a service that runs from dist/ never
// reads half a file.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildPage } from './build-page.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist')

const filesUnder = (directory) =>
  existsSync(directory)
    ? readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .toSorted()
    : []

const filesOf = (directories) => directories.flatMap((directory) => filesUnder(join(root, directory)))
const settings = ['package.json', 'package-lock.json', 'tsconfig.json', '.scripts/build.mjs']

const parts = [
  {
    name: 'code',
    sources: filesOf(['src', 'workers']),
    settings: [...settings, '.scripts/tsconfig.build.json'],
    output: ['src', 'workers'],
    build: async (fresh, sources) => compile(fresh, sources),
  },
  {
    name: 'web',
    // The page imports only the client of the service, and types, which are removed.
    sources: filesOf(['web', 'src/client']),
    settings: [...settings, '.scripts/build-page.mjs'],
    output: ['web'],
    build: (fresh) => buildPage(join(root, 'web'), join(fresh, 'web')),
  },
]

for (const part of parts) {
  const digest = digestOf(part)
  const stamp = join(dist, `.stamp-${part.name}`)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) continue
  const fresh = join(root, `.dist-${part.name}-${process.pid}`)
  try {
    await part.build(fresh, part.sources)
    publish(fresh, part.output)
    writeFileSync(`${stamp}.${process.pid}`, digest)
    renameSync(`${stamp}.${process.pid}`, stamp)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
    break
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function digestOf({ sources, settings: own }) {
  const hash = createHash('sha256')
  for (const file of [...own.map((name) => join(root, name)), ...sources]) {
    hash.update(`${relative(root, file)}\0`).update(readFileSync(file))
  }
  return hash.digest('hex')
}

function compile(fresh, sources) {
  const project = join(root, '.scripts/tsconfig.build.json')
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '-p', project, '--outDir', fresh]
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error('the sources could not be compiled')
  for (const file of sources.filter((name) => !/\.[cm]?ts$/.test(name))) {
    cpSync(file, join(fresh, relative(root, file)))
  }
  dropSourceMaps(join(fresh, 'src'))
}

// Node reads the source map of each module that it loads, which takes a twentieth of a start. Tasks keep their maps.
function dropSourceMaps(directory) {
  for (const file of filesUnder(directory)) {
    if (file.endsWith('.js.map')) rmSync(file)
    else if (file.endsWith('.js'))
      writeFileSync(file, readFileSync(file, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'))
  }
}

function publish(fresh, output) {
  const made = new Set(filesUnder(fresh).map((file) => relative(fresh, file)))
  for (const file of made) {
    mkdirSync(dirname(join(dist, file)), { recursive: true })
    renameSync(join(fresh, file), join(dist, file))
  }
  for (const file of output.flatMap((name) => filesUnder(join(dist, name))).map((name) => relative(dist, name))) {
    if (!made.has(file)) rmSync(join(dist, file), { force: true })
  }
}
