// Compiles src/ and workers/ into dist/, and does nothing when dist/ is current. The output is made beside
// dist/ and moved in file by file by rename, so a service that runs from dist/ never reads half a file.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist')
const stamp = join(dist, '.stamp')

const filesUnder = (directory) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()

const sources = ['src', 'workers'].flatMap((directory) => filesUnder(join(root, directory)))
const settings = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  '.scripts/tsconfig.build.json',
  '.scripts/build.mjs',
]

const hash = createHash('sha256')
for (const file of [...settings.map((name) => join(root, name)), ...sources]) {
  hash.update(`${relative(root, file)}\0`).update(readFileSync(file))
}
const digest = hash.digest('hex')

const isCurrent = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest
if (!isCurrent) {
  const fresh = join(root, `.dist-${process.pid}`)
  try {
    const tsc = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/typescript/bin/tsc'),
        '-p',
        join(root, '.scripts/tsconfig.build.json'),
        '--outDir',
        fresh,
      ],
      { stdio: 'inherit' },
    )
    if (tsc.status !== 0) process.exitCode = tsc.status ?? 1
    else publish(fresh)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function publish(fresh) {
  for (const file of sources.filter((name) => !/\.[cm]?ts$/.test(name))) {
    cpSync(file, join(fresh, relative(root, file)))
  }
  const made = new Set(filesUnder(fresh).map((file) => relative(fresh, file)))
  for (const file of made) {
    mkdirSync(dirname(join(dist, file)), { recursive: true })
    renameSync(join(fresh, file), join(dist, file))
  }
  for (const file of filesUnder(dist).map((name) => relative(dist, name))) {
    if (!made.has(file)) rmSync(join(dist, file), { force: true })
  }
  writeFileSync(`${stamp}.${process.pid}`, digest)
  renameSync(`${stamp}.${process.pid}`, stamp)
}
