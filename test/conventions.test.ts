/** The project's own rules that no tool checks. Each is tested on the files, and on examples that it must find. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { namesOutsideFile, namesWithoutFile } from './conventions/document-rule.ts'
import {
  consoleHasOneWriter,
  environmentIsReadOnce,
  filesAreShort,
  namesAreTelling,
  nothingIsAny,
  threadsUsePrimordials,
  wordsAreTheFields,
  workersAreTasks,
} from './conventions/file-rules.ts'
import { importsHaveNoCycles, importsNameTheirFile, importsPointDownward } from './conventions/import-rules.ts'
import { readSources, type Rule, type Sources } from './conventions/sources.ts'
import { suitesRun } from './conventions/suite-rule.ts'

const sources = readSources()

interface Examples {
  readonly good?: Sources
  /** Each of these files breaks the rule once. */
  readonly bad: Sources
}

/** One test that the project follows the rule, and one that the rule distinguishes good files from bad ones. */
function holds(what: string, rule: Rule, { good = {}, bad }: Examples): void {
  test(what, () => assert.equal(rule(sources), []))

  test(`${what}: this can be seen`, () => {
    assert.equal(rule(good), [])
    for (const [path, source] of Object.entries(bad)) {
      const found = rule({ ...good, [path]: source })
      assert.is(found.length, 1, `${path} should break the rule once: ${JSON.stringify(found)}`)
      assert.ok(found[0]?.includes(path), found[0])
    }
  })
}

const imports = (name: string) => `import { x } from '${name}'\n`
const many = (count: number) => 'x\n'.repeat(count)
const uvu = "import { test } from 'uvu'\n"

test('the files were found', () => {
  for (const path of ['src/app.ts', 'workers/first.ts', 'test/conventions.test.ts', 'src/store/sqlite/engine.ts']) {
    assert.ok((sources[path] ?? '').length > 0, path)
  }
})

holds('imports point downward, and only app.ts and database-file.ts name an engine', importsPointDownward, {
  good: {
    'src/main.ts': imports('./app.ts') + imports('./log.ts') + imports('koa'),
    'src/index.ts': "export type { App } from './app.ts'\nconst load = () => import('./config.ts')\n",
    'src/database-file.ts': imports('./store/sqlite/x.ts'),
    'src/app.ts': imports('./store/sqlite/engine.ts') + imports('./http/x.ts') + imports('./domain/x.ts'),
    'src/http/routes/x.ts': imports('../y.ts') + imports('../../intake/x.ts') + imports('../../store/store.ts'),
    'src/store/sqlite/engine.ts': imports('../store.ts') + imports('./x.ts') + imports('../../domain/x.ts'),
    'src/domain/task.ts': `// from '../execution/x.ts'\n${imports('./x.ts')}`,
  },
  bad: {
    'src/domain/a.ts': imports('../tasks/x.ts'),
    'src/domain/c.ts': imports('../runtime/x.ts'),
    'src/domain/b.ts': "import type { Log } from '../log.ts'\n",
    'src/log.ts': imports('./domain/x.ts'),
    'src/tasks/a.ts': "const late = () => import('../execution/x.ts')\n",
    'src/execution/a.ts': imports('../store/store.ts'),
    'src/execution/b.ts': "export * from '../config.ts'\n",
    'src/store/store.ts': imports('../execution/x.ts'),
    'src/dispatch/b.ts': imports('../intake/x.ts'),
    'src/feed/a.ts': imports('../http/x.ts'),
    'src/dispatch/a.ts': imports('../store/sqlite/rows.ts'),
    'src/http/a.ts': imports('../app.ts'),
    'src/http/b.ts': imports('../store/sqlite/engine.ts'),
    'src/main.ts': imports('./store/sqlite/engine.ts'),
    'src/index.ts': imports('./main.ts'),
    'src/app.ts': imports('./index.ts'),
    'src/store/sqlite/a.ts': imports('../../config.ts'),
    'src/store/postgres/a.ts': imports('../sqlite/rows.ts'),
    'src/tasks/b.ts': imports('../../workers/first.ts'),
    'src/tasks/c.ts': imports('../../test/harness/run.ts'),
    'src/extra/a.ts': imports('../domain/x.ts'),
    'src/http/c.ts': imports('../extra/x.ts'),
  },
})

holds('imports have no cycles', importsHaveNoCycles, {
  good: {
    'src/a.ts': imports('./b.ts') + imports('./c.ts'),
    'src/b.ts': imports('./c.ts') + imports('./d.ts'),
    'src/c.ts': imports('./d.ts'),
  },
  bad: {
    'src/c.ts': imports('./a.ts'),
    'src/d.ts': "import type { X } from './a.ts'\n",
    'src/e.ts': imports('./e.ts'),
  },
})

holds('imports name their file', importsNameTheirFile, {
  good: { 'src/a.ts': imports('./b.ts') + imports('koa'), 'workers/a.ts': imports('forerunner') },
  bad: { 'src/b.ts': imports('./a'), 'src/c.ts': imports('forerunner'), 'test/a.ts': "import '..'\n" },
})

holds('only main.ts and cli.ts read the environment', environmentIsReadOnce, {
  good: {
    'src/main.ts': 'read(process.env)\n',
    'src/a.ts': "// process.env\nconst text = 'process.env'\nnew Worker(url, { env: {} })\n",
  },
  bad: {
    'src/config.ts': 'const port = process.env.PORT\n',
    'src/b.ts': "import { env } from 'node:process'\n",
    'workers/a.ts': 'const { env } = process\n',
  },
})

holds('only log.ts and the command write to the console', consoleHasOneWriter, {
  good: { 'src/log.ts': 'console.log()\n', 'src/a.ts': "// console.log\nconst text = 'console.log'\n" },
  bad: {
    'src/app.ts': "console.error('x')\n",
    'src/b.ts': 'process.stdout.write(text)\n',
    'workers/a.ts': 'const { log } = console\n',
  },
})

holds('no file is longer than 300 lines', filesAreShort, {
  good: { 'src/a.ts': many(300) },
  bad: { 'src/b.ts': many(301), 'test/b.test.ts': many(400) },
})

holds('names are telling, and written-like-this', namesAreTelling, {
  good: {
    'src/index.ts': '',
    'src/http/request-parameters.ts': '',
    'test/http/request-parameters.test.ts': '',
    'src/store/sqlite/migrations/0001-runs-and-jobs.sql': '',
    'test/fixtures/README.md': '',
  },
  bad: {
    'src/utils/a.ts': '',
    'src/http/types/a.ts': '',
    'test/helpers/a.ts': '',
    'src/http/index.ts': '',
    'src/http/runView.ts': '',
    'src/http/run_view.ts': '',
    'src/Http/a.ts': '',
    'src/http/run.view.ts': '',
    'test/runView.test.ts': '',
  },
})

holds('workers/ contains only task modules, and shared code in lib/', workersAreTasks, {
  good: { 'workers/a.ts': 'const x = 1\n\nexport default defineTask({\n', 'workers/lib/b.ts': 'export const x = 1\n' },
  bad: {
    'workers/b.ts': 'export const x = 1\n',
    'workers/inner/c.ts': 'export default defineTask({\n',
    'workers/README.md': '',
    'workers/d.js': 'export default defineTask({\n',
  },
})

holds('every suite runs, without hooks', suitesRun, {
  good: {
    'test/a.test.ts': `${uvu}test('before', () => {})\n\ntest.run()\n`,
    'test/b.test.ts': "import { suite } from 'uvu'\nconst a = suite('a')\nconst b = suite('b')\na.run()\nb.run()\n",
    'test/c.test.ts': "import { suite } from 'uvu'\nfor (const x of y) {\n  const a = suite(x)\n  a.run()\n}\n",
    'test/contract.ts': `${uvu}export function contract() {\n  test('x', () => {})\n}\n`,
  },
  bad: {
    'test/d.test.ts': `${uvu}test('x', () => {})\n`,
    'test/e.test.ts': `${uvu}test.run()\ntest('too late', () => {})\n`,
    'test/f.test.ts': "import { suite } from 'uvu'\nconst a = suite('a')\nconst b = suite('b')\nb.run()\n",
    'test/g.test.ts': `${uvu}test.before(() => {})\ntest.run()\n`,
    'test/h.test.ts': `${uvu}test.after.each(() => {})\ntest.run()\n`,
    'test/i.test.ts': `${uvu}test.only('x', () => {})\ntest.run()\n`,
    'test/j.test.ts': 'export const x = 1\n',
    'test/other.ts': "import { suite } from 'uvu'\nexport function c() {\n  const a = suite('a')\n}\n",
    'test/l.test.ts': "import { suite } from 'uvu'\nfunction unused() {\n  const a = suite('a')\n  a.run()\n}\n",
    'test/k.test.ts': `${uvu}// test.run()\nconst text = 'test.run()'\n`,
  },
})

holds('nothing is of type any', nothingIsAny, {
  good: { 'src/a.ts': "const any = 1\nconst x = { any: 2, mode: 'any' }\n// any: any\nuse(any)\nif (any) y = a.any\n" },
  bad: {
    'src/b.ts': 'function f(x: any) {}\n',
    'src/c.ts': 'const x = y as any\n',
    'src/d.ts': 'const x: any[] = []\n',
    'src/e.ts': 'const x = new Map<string, any>()\n',
    'src/f.ts': 'type X = string | any\n',
    'src/g.ts': 'const x = y as unknown as Promise<any>\n',
  },
})

holds('code on the threads of tasks uses no built-in that tasks can replace', threadsUsePrimordials, {
  good: {
    'src/execution/pool/job-runner.ts':
      'const { now } = Date\nconst text = JSON.stringify.bind(JSON)\nfunction f() {\n  return now()\n}\n',
    'src/execution/pool/pool.ts': 'function f() {\n  return JSON.stringify(1)\n}\n',
  },
  bad: {
    'src/execution/task-context.ts': 'function f() {\n  return Date.now()\n}\n',
    'src/execution/pool/running-job.ts': 'function f(list) {\n  for (const one of list) g(one)\n}\n',
    'src/execution/result.ts': 'function f(list) {\n  list.push(1)\n}\n',
    'src/runtime/serialize-error.ts': 'function f() {\n  return new Map()\n}\n',
  },
})

holds('code uses the terms of the field', wordsAreTheFields, {
  good: { 'src/execution/pool/job-batcher.ts': 'export function createJobBatcher() {}\n' },
  bad: {
    'src/execution/pool/courier.ts': '',
    'src/intake/b.ts': 'const waitingRoom = 1\n',
    'workers/c.ts': '// the waiting-room\n',
  },
})

test('docs/architecture.md names files that exist', () => {
  const document = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8')
  assert.equal(namesWithoutFile(document, Object.keys(sources)), [])
})

test('docs/architecture.md names functions that its files contain', () => {
  const document = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8')
  assert.equal(namesOutsideFile(document, sources), [])
})

test('docs/architecture.md names functions that its files contain: this can be seen', () => {
  const document = '`a` and `gone` in `x/b.ts`, `a` of\n`b.ts`, `a` in `c.ts`'
  assert.equal(namesOutsideFile(document, { 'src/x/b.ts': 'function a() {}' }), ['gone', 'a'])
})

test('docs/architecture.md names files that exist: this can be seen', () => {
  const good = '`src/http/a.ts` `http/a` `a.ts` `http/` `x` `/runs` `npm run a/b`'
  const bad = ['http/b.ts', 'b.ts', 'ttp/a', 'store/']
  const document = [good, ...bad.map((path) => `\`${path}\``)].join(' ')
  assert.equal(namesWithoutFile(document, ['src/http/a.ts']), bad)
})

test.run()
