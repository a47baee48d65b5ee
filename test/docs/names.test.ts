/** Everything that the documents name exists: files and headings behind links, scripts, commands, and variables. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configOf } from '../../src/config.ts'
import { documents, readDocument, root } from './blocks.ts'

const each = [...documents(), 'docs/llms.txt'].map((path) => ({ path, text: readDocument(path) }))

/** Anchors as GitHub and the site generate them. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (?<heading>.+)$/gm)].map(({ groups }) =>
    (groups?.['heading'] ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )

test('links lead to files and headings', () => {
  const broken = each.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:|mailto:|\/)(?<file>[^)#\s]*)(?:#(?<anchor>[^)\s]+))?\)/g)].flatMap(
      ({ groups }) => {
        const file = groups?.['file'] === '' ? path : join(dirname(path), groups?.['file'] ?? '')
        const anchor = groups?.['anchor']
        const isThere =
          existsSync(join(root, file)) && (anchor === undefined || anchorsOf(readDocument(file)).includes(anchor))
        return isThere ? [] : [`${path}: ${file}${anchor === undefined ? '' : `#${anchor}`}`]
      },
    ),
  )
  assert.equal(broken, [])
})

test('scripts and commands exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  const help = stripVTControlCharacters(
    execFileSync(process.execPath, [join(root, 'dist/src/cli.js'), '--help'], { encoding: 'utf8' }),
  )
  const named = [...help.matchAll(/^ {2}(?<name>[a-z]+) /gm)].map(({ groups }) => groups?.['name'] ?? '')
  const commands = new Set(named)
  assert.ok(commands.has('doctor'), help)
  const unknown = each.flatMap(({ path, text }) => {
    const scriptNames = [...text.matchAll(/\bnpm run (?<name>[\w:-]+)/g)].map(({ groups }) => groups?.['name'] ?? '')
    const run = [...text.matchAll(/(?:npx |`|^\$ )forerunner (?<name>[a-z]+)\b/gm)].map(
      ({ groups }) => groups?.['name'] ?? '',
    )
    return [
      ...scriptNames.filter((name) => !(name in scripts)).map((name) => `${path}: npm run ${name}`),
      ...run.filter((name) => !commands.has(name)).map((name) => `${path}: forerunner ${name}`),
    ]
  })
  assert.equal(unknown, [])
})

test('generated files are up to date', () => {
  const check = [join(root, '.scripts/reference.mjs'), '--check']
  const { stderr } = spawnSync(process.execPath, check, { encoding: 'utf8' })
  assert.is(stderr, '')
})

test('the README has every setting', () => {
  const readme = readDocument('README.md')
  const names = Object.keys(configOf({})).map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase())
  assert.equal(
    names.filter((name) => !readme.includes(`\`${name}\``)),
    [],
  )
})

test.run()
