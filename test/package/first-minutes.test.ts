/** The first minutes of somebody new, as the README has them: its lines are run, in an empty folder. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/client/client.ts'
import { version } from '../../src/runtime/package.ts'
import { until } from '../harness/until.ts'
import { makeConsumer, root } from './consumer.ts'

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

test('from an empty folder to a backup, with a crash in between', async () => {
  const [begin, install, init, check, start, post, watch, doctor, backup, ...others] = linesOf('Begin a project')
  assert.equal([begin, install, others], ['npm init -y', 'npm install forerunner', []])
  await using consumer = await makeConsumer(begin)
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
  assert.equal(JSON.parse(again.output), { directory: join(directory, 'new'), written: ['package.json'] })
}

test.run()
