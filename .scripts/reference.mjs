// Generates docs/reference/ from the OpenAPI document and the declarations of the built package, and the figures of README
// from docs/benchmarks.json. With --check it writes nothing, and exits with 1 if a file would change.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { format } from 'oxfmt'
import { httpReference } from './reference/http.mjs'
import { figures } from './reference/figures.mjs'
import { typesReference } from './reference/types.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const built = (path) => join(root, 'dist/src', path)
const load = (path) => import(pathToFileURL(built(path)).href)

const { createDocument } = await load('http/openapi/document.js')
const { routeTable } = await load('http/router.js')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const measured = JSON.parse(readFileSync(join(root, 'docs/benchmarks.json'), 'utf8'))

const written = {
  'docs/reference/http.md': httpReference(createDocument(routeTable)),
  'docs/reference/typescript.md': typesReference({
    forerunner: built('index.d.ts'),
    'forerunner/client': built('client/client.d.ts'),
    'forerunner/testing': built('testing/testing.d.ts'),
  }),
  'README.md': readme.replace(
    /(?<=<!-- figures:begin -->\n).*(?=<!-- figures:end -->)/s,
    () => `\n${figures(measured)}\n`,
  ),
}

const options = JSON.parse(readFileSync(join(root, '.oxfmtrc.json'), 'utf8'))
const isCheck = process.argv.includes('--check')
for (const [path, text] of Object.entries(written)) {
  const { code } = await format(path, text, options)
  const isSame = code === read(path)
  if (isSame) continue
  if (isCheck) {
    console.error(`${path} is not what the sources say: npm run docs:reference`)
    process.exitCode = 1
    continue
  }
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), code)
  console.log(`wrote ${path}`)
}

function read(path) {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return undefined
  }
}
