/** What a terminal is shown, and what becomes of it by Ctrl-C. The terminal is that of script(1). */
import { spawn, spawnSync } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { widthOf } from '../../src/cli/terminal.ts'
import { makeHome } from '../harness/child.ts'
import { shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { program } from './forerunner.ts'

const columns = 70
const hideCursor = '\u001B[?25l'
const showCursor = '\u001B[?25h'
/** Other systems have another one, or none. */
const hasTerminal = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0

function inTerminal(url: string, args: string) {
  const line = `stty cols ${columns} rows 20; exec ${process.execPath} ${program} ${args}`
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', line, '/dev/null'], {
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', FORERUNNER_URL: url },
    timeout: 60_000,
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (output += part))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { ended, output: () => output, type: (keys: string) => child.stdin.write(keys) }
}

if (hasTerminal) {
  test('a run is painted over itself until it ends, in colours, and no line is too wide', async () => {
    await using service = await shareService()
    const watching = inTerminal(service.url, 'run echo tells fail --watch')
    assert.is(await watching.ended, 1)
    const shown = watching.output()
    assert.ok(shown.includes(hideCursor) && shown.lastIndexOf(showCursor) > shown.lastIndexOf(hideCursor))
    assert.ok(shown.includes('\u001B[31mfailed'))
    const widths = shown.split('\n').map((text) => widthOf(stripVTControlCharacters(text).replaceAll('\r', '')))
    assert.ok(Math.max(...widths) < columns)
  })

  test('Ctrl-C leaves the run alone, says so, and gives the cursor back', async () => {
    await using service = await shareService()
    const accepted = await service.post('/run-tasks', {
      tasks: [{ name: 'wait', input: { ms: 60_000 } }],
      respond: 'none',
    })
    const { id } = (await accepted.json()) as { id: string }
    const { ended, output, type } = inTerminal(service.url, `watch ${id}`)
    await until('it is shown', () => output().includes('running'))
    type('\u0003')
    assert.is(await ended, 130)
    assert.match(output(), `the run goes on: forerunner watch ${id}`)
    assert.ok(output().endsWith(showCursor))
    assert.is(((await (await service.get(`/runs/${id}`)).json()) as { state: string }).state, 'running')
  })

  test('waits for a service that is down, and the same screen continues', async () => {
    await using home = await makeHome({ THREADS: '1' })
    const first = await home.start()
    const mark = { name: 'mark-io', input: { ms: 1_500, failures: 0, value: 1 } }
    await first.post('/run-tasks', { tasks: [mark], respond: 'none' })
    const { ended, output } = inTerminal(first.url, 'watch')
    await until('it is shown', () => output().includes('running'))
    await first.kill('SIGKILL')
    await until('it says so', () => output().includes('has not answered'))
    await home.start({ PORT: new URL(first.url).port })
    assert.is(await ended, 0)
    assert.match(output(), 'completed')
  })

  test('Ctrl-C ends the current request', async () => {
    await using service = await shareService()
    const { ended, output, type } = inTerminal(service.url, 'bench echo --rate 4.5 --seconds 60')
    await until('it is under way', () => output().includes('5 of 270 answered'))
    type('\u0003')
    assert.is(await ended, 130)
  })

  test('asks for confirmation before it changes many runs', async () => {
    await using service = await shareService()
    await service.post('/run-tasks', { tasks: [{ name: 'wait', input: { ms: 60_000 } }], respond: 'none' })
    const { ended, output, type } = inTerminal(service.url, 'cancel --task wait')
    await until('it asks', () => output().includes('1 run matches'))
    type('\r')
    assert.is(await ended, 1)
    assert.match(output(), 'nothing was changed')
    const sure = inTerminal(service.url, 'cancel --task wait')
    await until('it asks', () => sure.output().includes('1 run matches'))
    sure.type('y')
    assert.is(await sure.ended, 0)
    assert.match(sure.output(), '1 changed')
  })
}

test.run()
