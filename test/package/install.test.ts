/** The package as users get it: installed from the packed file into an empty folder outside of the project. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/client/client.ts'
import { version } from '../../src/runtime/package.ts'
import { until } from '../harness/until.ts'
import { makeConsumer, nodes, root } from './consumer.ts'
import { checkedTask, ownTest, program, task, typed, types, wrongTest } from './programs.ts'

const tsc = `node ${join(root, 'node_modules/typescript/bin/tsc')} --types node`

interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** The lines of the blocks below a heading. */
function linesOf(heading: string): string[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const section = readme.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/```sh\n(?<block>.*?)```/gs)].flatMap(({ groups }) =>
    (groups?.['block'] ?? '').trim().split('\n'),
  )
}

interface Service {
  readonly url: string
  kill(): Promise<void>
}

const [begin, install, init, check, start, post, watch, doctor, backup, ...others] = linesOf('Begin a project')
// For both tests, because packing and installing takes longer than most of their work.
const consuming = makeConsumer(begin ?? '')
consuming.catch(() => {})

test('installs, runs as a library and as a command, and has types that resolve', async () => {
  const consumer = await consuming
  const { directory, run, runOn, write, compile } = await consumer.below('library')
  const modules = join(consumer.directory, 'node_modules')
  const tools = ['typescript', 'tsx', 'uvu', 'oxlint', 'express', 'fastify', 'bullmq', 'pg', 'publint']
  assert.equal(
    tools.filter((name) => existsSync(join(modules, name))),
    [],
    'a user is given none of our tools',
  )
  assert.equal(readdirSync(join(modules, 'forerunner')).toSorted(), [
    'LICENSE',
    'README.md',
    'dist',
    'docs',
    'package.json',
  ])

  await write('program.js', program)
  await mkdir(join(directory, 'workers'))
  await write('workers/greet.ts', task)
  await write('workers/count.ts', checkedTask)
  await mkdir(join(directory, 'test'))
  await write('test/own.test.ts', ownTest)
  const versions: string[] = []
  for (const node of nodes) {
    versions.push((await runOn(node, 'node', '--version')).output.split('.')[0] ?? '')
    const ran = await runOn(node, 'node', 'program.js')
    assert.equal(ran, { code: 0, output: '[{"hello":"you"},{"hello":"disk"},true,"unknown-task",2]\n' })
    assert.equal(await runOn(node, 'forerunner', '--version'), { code: 0, output: `${version}\n` })
    const tested = await runOn(node, 'node', '--test', 'test/own.test.ts')
    assert.is(tested.code, 0, tested.output)
  }
  assert.equal(versions, ['v24', 'v26'])

  const examined = await run('forerunner', 'doctor', '--url', 'http://127.0.0.1:9')
  assert.match(examined.output, /ok +tasks +2 in workers: count, greet/)
  assert.is((await run('forerunner', 'nope')).code, 2)

  const written = await run('forerunner', 'types')
  assert.equal(written, { code: 0, output: 'wrote the types of 2 tasks to forerunner-tasks.d.ts\n' })
  await write('wrong-test.ts', wrongTest)
  await write('types.ts', types)
  await write('typed.ts', typed)
  const files = ['types.ts', 'typed.ts', 'wrong-test.ts', 'workers/greet.ts', 'workers/count.ts']
  for (const module of ['nodenext', 'bundler'] as const) {
    assert.is(await compile(module, ...files), '', module)
  }
})

test('the lines of the README lead from an empty folder to a backup, with a crash in between', async () => {
  assert.equal([begin, install, others], ['npm init -y', 'npm install forerunner', []])
  await using consumer = await consuming
  const { directory } = consumer
  let url = ''

  function launch(line = '') {
    // Any free port in place of the usual one, which the tester may be using.
    return spawn('sh', ['-c', line.replace('localhost:3000', url.replace('http://', ''))], {
      cwd: directory,
      env: {
        PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
        HOME: process.env['HOME'],
        PORT: '0',
        FORERUNNER_URL: url,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
  }

  async function run(line = ''): Promise<Ended> {
    const child = launch(line)
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
    return { code, output, errors }
  }

  async function serve(): Promise<Service> {
    const child = launch(start)
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (output += part))
    // Of the group: npm, its shell and the service.
    const kill = (): Promise<void> => (process.kill(-Number(child.pid), 'SIGKILL'), ended)
    try {
      return { url: await until('it is ready', () => /ready at (?<url>http:[^"]+)/.exec(output)?.[1]), kill }
    } catch (error) {
      await kill()
      throw new Error(output, { cause: error })
    }
  }

  const alone = await run('node_modules/.bin/forerunner')
  assert.is(alone.code, 0)
  assert.match(alone.output, 'npx forerunner init')
  const made = await run(init)
  assert.is(made.code, 0, made.errors)
  assert.match(made.output, 'wrote workers/hello.mts')
  const tested = await run(check)
  assert.is(tested.code, 0, tested.output)
  assert.equal(await run(tsc), { code: 0, output: '', errors: '' })
  await checkNamed(directory, run)

  let service = await serve()
  try {
    url = service.url
    const posted = JSON.parse((await run(post)).output) as RunView
    assert.equal(posted.result, { hello: 'you' })
    const watched = await run(watch)
    assert.equal([watched.code, /job 1 +hello +completed/.test(watched.output)], [0, true], watched.errors)

    const enqueued = await run('node_modules/.bin/forerunner run hello hello hello --respond none --json')
    const { id } = JSON.parse(enqueued.output) as RunView
    await service.kill()
    assert.is((await run('node_modules/.bin/forerunner runs')).code, 3)
    service = await serve()
    url = service.url
    const resumed = await run('node_modules/.bin/forerunner watch --json')
    assert.is(resumed.code, 0, resumed.errors)
    const last = JSON.parse(resumed.output.trim().split('\n').at(-1) ?? '') as RunView
    assert.equal([last.id, last.state], [id, 'completed'])
    const { jobs } = JSON.parse((await run(`node_modules/.bin/forerunner show ${posted.id} --json`)).output) as RunView
    assert.equal(jobs[0]?.result, { hello: 'you' })

    const examined = await run(doctor)
    assert.is(examined.code, 0, examined.output)
    assert.not.match(examined.output, /^(?:warn|fail)/m)
    const backedUp = await run(backup)
    assert.is(backedUp.code, 0, backedUp.errors)
    assert.match(backedUp.output, '3 runs, all read back')
    const copy = new DatabaseSync(join(directory, 'backup.db'), { readOnly: true })
    assert.is(copy.prepare("SELECT count(*) AS n FROM run WHERE state = 'completed'").get()?.['n'], 3)
    copy.close()
  } finally {
    await service.kill()
  }
})

/** In a folder that is named, without a package of its own yet. */
async function checkNamed(directory: string, run: (line: string) => Promise<Ended>): Promise<void> {
  const made = await run('node_modules/.bin/forerunner init new')
  assert.is(made.code, 0)
  assert.match(made.output, 'wrote workers/hello.ts')
  assert.match(made.output, 'cd new')
  assert.is((await run('node --test new/test/hello.test.ts')).code, 0)
  assert.equal(await run(`${tsc} -p new`), { code: 0, output: '', errors: '' })
  const { scripts, dependencies } = JSON.parse(readFileSync(join(directory, 'new/package.json'), 'utf8')) as {
    scripts: Record<string, string>
    dependencies: Record<string, string>
  }
  assert.equal([scripts['start'], scripts['dev']], ['forerunner serve', 'forerunner dev'])
  assert.equal(dependencies, { forerunner: `^${version}` })
  assert.ok(existsSync(join(directory, 'new/Dockerfile')))
  const again = await run('node_modules/.bin/forerunner init new --json')
  assert.equal(JSON.parse(again.output), { directory: join(directory, 'new'), written: [] })
}

test.run()
