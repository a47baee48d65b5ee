/** Every TypeScript block compiles like a user's file, against the types of the built package. */
import { execFile, spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allBlocks, root, type Block } from './blocks.ts'

const compilerOptions = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable', 'dom'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  erasableSyntaxOnly: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
}

const folderOf = ({ path }: Block): string => path.replaceAll('/', '-').replace(/\.md$/, '')

/** A block that names its file in its first line becomes that file, so that other blocks of its document can import it. */
function fileOf(block: Block): string {
  const named = /^\/\/ (?<name>[\w./-]+\.ts)\b/.exec(block.text)?.groups?.['name']
  return join(folderOf(block), named ?? `line-${block.line}.ts`)
}

/** Inside the project, so that `forerunner` resolves to this package by its `exports`, and other packages are found. */
async function compile(blocks: readonly Block[]): Promise<string> {
  const directory = await mkdtemp(join(root, '.dist-docs-'))
  const given = join(root, 'test/docs/given')
  try {
    await cp(given, directory, { recursive: true })
    for (const folder of new Set(blocks.map(folderOf)))
      await cp(join(given, 'workers'), join(directory, folder, 'workers'), { recursive: true })
    for (const block of blocks) {
      const file = join(directory, fileOf(block))
      await mkdir(dirname(file), { recursive: true })
      // Without an import, a file is a script, and cannot await.
      await writeFile(file, `${block.text}\nexport {}\n`)
    }
    const files = ['globals.ts', ...blocks.map(fileOf)]
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { error, stdout } = await new Promise<{ error: Error | null; stdout: string }>((resolve) => {
      execFile(process.execPath, [tsc, '--pretty', 'false', '-p', '.'], { cwd: directory }, (failure, output) =>
        resolve({ error: failure, stdout: output }),
      )
    })
    return error === null ? '' : stdout || error.message
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** In the same run of the compiler: shows that errors are detected. */
const wrong: Block = {
  path: 'docs/wrong.md',
  line: 7,
  language: 'ts',
  text: "import { createForerunner } from 'forerunner'\ncreateForerunner({ port: 3000 })\n",
}

test('the TypeScript of the documents compiles', async () => {
  const blocks = allBlocks('ts')
  assert.ok(blocks.length > 15)
  const errors = (await compile([...blocks, wrong])).match(/^\S.*/gm) ?? []
  assert.is(errors.length, 1, errors.join('\n'))
  assert.match(errors[0] ?? '', /^docs-wrong\/line-7\.ts.*'port' does not exist/)
})

test('shell and JSON are well formed', () => {
  const shells = allBlocks('sh').filter(({ text }) => spawnSync('bash', ['-n', '-c', text]).status !== 0)
  const texts = allBlocks('json').filter(({ text }) => {
    try {
      JSON.parse(text.startsWith('"') ? `{${text}}` : text)
      return false
    } catch {
      return true
    }
  })
  assert.equal(
    [...shells, ...texts].map(({ path, line }) => `${path}, line ${line}`),
    [],
  )
})

test.run()
