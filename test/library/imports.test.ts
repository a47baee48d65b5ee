/** Task modules import the package on every thread, so importing it must load little. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

/** What a process of its own has loaded after it ran `code`: addresses of modules, and the names of those of Node. */
async function loadedBy(code: string): Promise<{ readonly modules: string[]; readonly builtins: string[] }> {
  const script = `
    import { registerHooks } from 'node:module'
    const modules = []
    registerHooks({ load: (url, context, next) => (modules.push(url), next(url, context)) })
    ${code}
    console.log(JSON.stringify({ modules, builtins: process.moduleLoadList }))`
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  return JSON.parse(await text(child.stdout)) as { modules: string[]; builtins: string[] }
}

const heavy = ['/node_modules/koa/', '/node_modules/piscina/', '/node_modules/zod/', '/node_modules/pino/', '/src/app.']

test('importing it loads neither the server nor the pool nor the store', async () => {
  const { modules, builtins } = await loadedBy("await import('forerunner')")
  assert.ok(
    modules.some((url) => url.endsWith('/dist/src/index.js')),
    'the package was not loaded',
  )
  assert.not(builtins.some((name) => name.endsWith(' sqlite')))
  for (const part of heavy)
    assert.equal(
      modules.filter((url) => url.includes(part)),
      [],
    )
})

test('starting loads them, which shows that the check above works', async () => {
  const options = "{ databaseUrl: 'sqlite::memory:', tasksDir: 'test/fixtures/tasks/recipe', logLevel: 'silent' }"
  const { modules, builtins } = await loadedBy(`
    await import('node:sqlite')
    const { createForerunner } = await import('forerunner')
    const forerunner = createForerunner(${options})
    await forerunner.start()
    await forerunner.stop()`)
  assert.ok(builtins.some((name) => name.endsWith(' sqlite')))
  for (const part of heavy.slice(1))
    assert.ok(
      modules.some((url) => url.includes(part)),
      part,
    )
  assert.not(
    modules.some((url) => url.includes('/node_modules/koa/')),
    'a server of its own is for the program alone',
  )
})

test.run()
