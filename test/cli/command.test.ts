/** The command: its exit code, and what it prints. Each code is that of a process of its own, too. */
import { spawn } from 'node:child_process'
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../harness/until.ts'
import { version } from '../../src/runtime/package.ts'
import type { RunPageView, RunView, ScheduleView } from '../../src/client/client.ts'
import { startReceiver, webhookSecret } from '../harness/receiver.ts'
import { readRun } from '../harness/run.ts'
import { fixtureTasks, shareService, startService } from '../harness/service.ts'
import { tasksDir } from '../page/shared.ts'
import { command, forerunner, program, read } from './forerunner.ts'

const nowhere = 'http://127.0.0.1:9'

test('shows help and its version, and starts nothing', async () => {
  for (const args of [['--help'], ['run', '--help'], ['help', 'retry'], []]) {
    const { code, output, errors } = await command(args, { url: nowhere })
    assert.equal([code, errors], [0, ''], args.join(' '))
    assert.match(output, 'Usage: forerunner')
  }
  const { code, output } = await forerunner(['--version'])
  assert.equal([code, output], [0, `${version}\n`])
})

test('exits with 2 for wrong usage', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  await writeFile(join(directory.path, 'package.json'), 'null')
  const wrong = [
    ['nope'],
    ['--nope'],
    ['runs', '--nope'],
    ['run'],
    ['runs', '--state', 'done'],
    ['runs', '--limit', '0'],
    ['show'],
    ['show', 'a', 'b'],
    ['cancel'],
    ['cancel', 'some-id', 'x'],
    ['cancel', 'some-id', '--tag', 'a'],
    ['run', 'echo', '--input', '/no/such/file'],
    ['init', directory.path],
    ['stats', '--url', 'nowhere'],
  ]
  for (const args of wrong) {
    const { code, output, errors } = await command(args, { url: nowhere })
    assert.equal([code, output], [2, ''], args.join(' '))
    assert.ok(errors.length > 0, args.join(' '))
  }
  assert.is((await forerunner(['run', 'echo', '--input', '-'], { url: nowhere, input: '{' })).code, 2)
})

test('exits with 3 if there is no service, and says what to do', async () => {
  for (const args of [['runs'], ['run', 'echo'], ['watch', 'x'], ['stats', '--json']]) {
    const { code, output, errors } = await command(args, { url: nowhere })
    assert.equal([code, output], [3, ''], args.join(' '))
    assert.match(errors, `no service answers at ${nowhere}`)
    assert.match(errors, 'forerunner serve')
  }
  assert.is((await forerunner(['runs'], { url: nowhere })).code, 3, 'of the process')
  const unsent = await command(['runs'], { url: nowhere, environment: { FORERUNNER_API_KEY: 'a\nb' } })
  assert.is(unsent.code, 1)
  assert.not.match(unsent.errors, 'no service')
})

test('runs tasks, and prints the result', async () => {
  await using service = await shareService()
  const { url } = service
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const file = join(directory.path, 'input.json')
  await writeFile(file, '{"a":"ü"}')
  const { code, output } = await command(['run', 'echo', 'echo', '--input', file], { url })
  assert.is(code, 0)
  assert.match(output, '"a": "ü"')
  const ran = await forerunner(['run', 'echo', '--input', '-', '--json', '--tag', 'a', 'b'], { url, input: '[1]' })
  const run = read(ran) as RunView
  assert.equal([ran.code, run.result, run.tags], [0, [1], ['a', 'b']])
  const failed = await forerunner(['run', 'fail', '--json'], { url })
  assert.equal([failed.code, (read(failed) as { type: string }).type], [1, '/problems/first-task-failed'])
  assert.match(failed.errors, /first-task-failed.*failed on purpose/)
  assert.is((await command(['run', 'nope'], { url })).code, 2)
  assert.is((await command(['run', 'echo', 'fail'], { url })).code, 0, 'the first decides')
})

test('watches a run until its end', async () => {
  await using service = await shareService()
  const { url } = service
  const watched = await command(['run', 'echo', 'fail', '--watch'], { url })
  assert.is(watched.code, 1)
  for (const line of ['job 0  echo  completed', 'job 1  fail  failed  task_error: failed on purpose', 'answered']) {
    assert.match(watched.output, line)
  }
  assert.not.match(watched.output, '\u001B')
  const again = await command(['watch'], { url })
  assert.equal([again.code, again.output.includes('failed')], [1, true])
  const streamed = await command(['run', 'echo', '--watch', '--json'], { url })
  const events = streamed.output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunView)
  assert.equal([streamed.code, events.at(-1)?.state], [0, 'completed'])
})

test('sends and prints every digit', async () => {
  await using service = await shareService({ tasksDir })
  const { url } = service
  const input = '{"b":1.0,"10":18446744073709551616}'
  const ran = await forerunner(['run', 'exact', '--input', '-', '--json'], { url, input })
  assert.match(ran.output, '"result":{"token":"hidden","id":12345678901234567890,"share":1.0},"answer"')
  const { id } = read(ran) as RunView
  assert.is(await (await service.get(`/runs/${id}/jobs/0/input`)).text(), input)
  assert.match((await forerunner(['show', id], { url })).output, '  "id": 12345678901234567890,\n  "share": 1.0')
})

test('lists, shows, cancels and retries', async () => {
  await using service = await shareService()
  const { url } = service
  const waiting = { name: 'wait', input: { ms: 60_000 } }
  const accepted = await service.post('/run-tasks', {
    tasks: [waiting, waiting],
    respond: 'none',
    tags: ['\u001B[31mred'],
  })
  const { id } = (await accepted.json()) as RunView
  const listed = await command(['runs', '--state', 'running'], { url })
  assert.match(listed.output, id)
  // The index is written some time after the run.
  await until('it is found by a word', async () => {
    const found = await command(['runs', '--search', 'wait', '--json'], { url })
    return (read(found) as RunPageView).runs[0]?.id === id
  })
  assert.not.match(listed.output, '\u001B')
  const page = read(await command(['runs', '--json', '--limit', '1'], { url })) as RunPageView
  assert.is(page.runs[0]?.id, id)
  assert.is((read(await command(['cancel', id, '1', '--json'], { url })) as RunView).jobs[1]?.state, 'cancelled')
  assert.is((read(await command(['cancel', id, '--json'], { url })) as RunView).state, 'cancelled')
  assert.is((await command(['cancel', id, '0'], { url })).code, 0)
  assert.is((read(await command(['retry', id, '--json'], { url })) as RunView).state, 'running')
  const counted = await command(['cancel', '--task', 'wait', '--dry-run', '--json'], { url })
  assert.equal(read(counted), { matched: 1, changed: 0 })
  const unasked = await command(['cancel', '--task', 'wait'], { url })
  assert.equal([unasked.code, unasked.output], [2, ''])
  assert.match(unasked.errors, '1 run matches; --yes is needed')
  const changed = await command(['cancel', '--task', 'wait', '--yes', '--json'], { url })
  assert.equal(read(changed), { matched: 1, changed: 1 })
  await service.post('/run-tasks', { tasks: [waiting], respond: 'none' })
  assert.is((await command(['prune'], { url })).code, 2)
  const forgettable = await command(['prune', '--task', 'echo', '--dry-run', '--json'], { url })
  assert.equal(read(forgettable), { matched: 0, changed: 0 })
  const shown = await command(['show', id], { url })
  assert.equal([shown.code, shown.output.includes('cancelled')], [0, true])
  const logging = await service.post('/run-tasks', { tasks: [{ name: 'logs', input: { texts: ['\u001B[31mone'] } }] })
  const logged = await command(['show', ((await logging.json()) as RunView).id, '--log'], { url })
  assert.match(logged.output, /Z info  job 0, attempt 1: one \{"attempt":1\}/)
  const stepwise = { tasks: [{ name: 'stepwise', input: { names: ['charge'] } }] }
  const stepped = await command(['show', (await readRun(await service.post('/run-tasks', stepwise))).id], { url })
  assert.match(stepped.output, /^steps of job 0:\n\S+Z {2}charge$/m)
  const unsaid = await command(['prune', '--task', 'wait'], { url })
  assert.equal([unsaid.code, unsaid.output], [2, ''])
  assert.match(unsaid.errors, '1 run matches; --yes is needed to remove it')
  const pruned = await command(['prune', '--task', 'wait', '--yes'], { url })
  assert.equal([pruned.code, pruned.output], [0, '1 run matches, 1 changed\n'], 'one goes on')
  assert.is((await command(['show', id], { url })).code, 1)
})

test('lists the tasks and the figures, with a key if necessary', async () => {
  await using service = await startService({ apiKeys: ['secret'] })
  const { url } = service
  const environment = { FORERUNNER_API_KEY: 'secret' }
  const paused = await command(['pause', 'echo'], { url, environment })
  assert.equal([paused.code, paused.output], [0, 'echo is paused: its jobs wait until it is resumed\n'])
  assert.match((await command(['tasks'], { url, environment })).output, /^echo +cpu .* paused/m)
  const resumed = await command(['resume', 'echo', '--json'], { url, environment })
  assert.is((read(resumed) as { paused: boolean }).paused, false)
  assert.is((await command(['pause', 'gone'], { url, environment })).code, 2)
  assert.match((await command(['tasks'], { url, environment })).output, /^echo +cpu/m)
  const stats = await command(['stats', '--json', '--url', url], { url: nowhere, environment })
  assert.is((read(stats) as { backlog: number }).backlog, 0)
  const refused = await command(['stats'], { url })
  assert.equal([refused.code, refused.output], [1, ''])
})

test('puts, runs, pauses and removes schedules, and sends a webhook again', async () => {
  await using receiver = await startReceiver()
  const webhooks = { webhookUrl: receiver.url, webhookSecret: [webhookSecret], webhookAllowPrivate: true }
  await using service = await startService(webhooks)
  const { url } = service
  const none = await command(['schedules'], { url })
  assert.equal([none.code, none.output], [0, ''])
  const put = ['schedules', 'put', 'nightly', '30 6 * * *', 'echo', '--time-zone', 'Asia/Tokyo', '--input', '-']
  const shown = await forerunner([...put, '--tag', 'a'], { url, input: '[1]' })
  assert.match(shown.output, /^nightly {2}30 6 \* \* \* {2}Asia\/Tokyo$/m)
  assert.match((await command(['schedules'], { url })).output, /^nightly .*T21:30:00\.000Z \(in .* echo$/m)
  const paused = await command(['schedules', 'pause', 'nightly', '--json'], { url })
  assert.equal((read(paused) as ScheduleView).request.tasks, [{ name: 'echo', input: [1] }])
  assert.match((await command(['schedules', 'show', 'nightly'], { url })).output, /^next {4}paused$/m)
  const ran = read(await command(['schedules', 'run', 'nightly', '--json'], { url })) as RunView
  assert.equal(ran.tags, ['a', 'schedule:nightly'])
  const [webhook] = await receiver.gets(1)
  const deliveryId = String(webhook?.headers['webhook-id'])
  // Its outcome is committed some time after it came.
  await until('the webhook is sent again', async () => {
    return (await command(['redeliver', ran.id, deliveryId], { url })).code === 0
  })
  await receiver.gets(2)
  assert.match((await command(['show', ran.id], { url })).output, deliveryId)
  assert.is((await command(['schedules', 'remove', 'nightly'], { url })).code, 0)
  const gone = await command(['schedules', 'show', 'nightly'], { url })
  assert.equal([gone.code, gone.output], [1, ''])
  assert.match(gone.errors, 'see which there are with: forerunner schedules')
  const noFile = ['put', 'a', '* * * * *', 'echo', '--input', '']
  for (const wrong of [['put', 'a'], ['put', 'a', '', 'echo'], ['put', 'a', '61 * * * *', 'echo'], noFile, ['nope']])
    assert.is((await command(['schedules', ...wrong], { url })).code, 2, wrong.join(' '))
})

test('loads a running service, or its own, at a fixed rate', async () => {
  await using service = await shareService()
  const { url } = service
  const loaded = await command(['bench', 'echo', '--rate', '50', '--seconds', '0.2', '--json'], { url })
  const { answered, failed, tag } = read(loaded) as { answered: number; failed: number; tag: string }
  assert.equal([loaded.code, answered, failed], [0, 10, 0])
  const { matched } = read(await command(['prune', '--tag', tag, '--dry-run', '--json'], { url })) as {
    matched: number
  }
  assert.is(matched, 11, 'and the one that was sent before')
  assert.is((await command(['bench', 'nope'], { url })).code, 2)
  assert.is((await command(['bench', 'echo'], { url: nowhere })).code, 3)
  assert.is((await command(['bench', '--rate', '0'])).code, 2)
  const alone = await forerunner(['bench', '--rate', '20', '--seconds', '0.2'])
  assert.equal([alone.code, /^answered {2}4 of 4$/m.test(alone.output)], [0, true], alone.errors)
})

test('init completes package.json, and writes it only if it lacks something', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const path = join(directory.path, 'package.json')
  await writeFile(path, '{"type":"module"}')
  const init = async () => (read(await command(['init', directory.path, '--json'])) as { written: string[] }).written
  assert.is((await init()).at(-1), 'package.json')
  const text = JSON.stringify(JSON.parse(await readFile(path, 'utf8')))
  await writeFile(path, text)
  assert.equal([await init(), await readFile(path, 'utf8')], [[], text])
})

test('the doctor finds errors', async () => {
  await using service = await shareService()
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databasePath = join(directory.path, 'a.db')
  const given = { TASKS_DIR: fixtureTasks, DATABASE_URL: `sqlite:${databasePath}` }
  const ask = async (environment: Record<string, string>, url = service.url) => {
    const ended = await command(['doctor', '--json'], { url, environment: { ...given, ...environment } })
    const { ok, checks } = read(ended) as { ok: boolean; checks: { name: string; state: string }[] }
    assert.is(ended.code, ok ? 0 : 1)
    return checks.filter(({ state }) => state !== 'ok').map(({ name, state }) => `${name}: ${state}`)
  }
  assert.equal(await ask({}), [])
  assert.equal(await ask({}, nowhere), ['service: warn'])
  assert.equal(await ask({ THREADS: 'many' }), ['configuration: fail'])
  assert.equal(await ask({ TASKS_DIR: '/nowhere' }), ['tasks: fail'])
  assert.equal(await ask({ DATABASE_URL: 'sqlite:/dev/null/x.db' }), ['database: fail', 'disk: fail'])
  await writeFile(databasePath, 'this is no database at all')
  assert.equal(await ask({}), ['database: fail'])
  const { code, output } = await command(['doctor'], { url: service.url, environment: given })
  assert.is(code, 1)
  assert.match(output, /^fail {2}database {6}.*is no SQLite database$/m)
})

test('serves until it is asked to stop', async () => {
  const environment = { PATH: process.env['PATH'], PORT: '0', DATABASE_URL: 'sqlite::memory:', TASKS_DIR: fixtureTasks }
  const child = spawn(process.execPath, [program, 'serve'], { env: environment, timeout: 60_000 })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    const wasReady = output.includes('"ready at ')
    output += part
    // Once: a second signal can meet the shell by which the process ends.
    if (!wasReady && output.includes('"ready at ')) child.kill('SIGTERM')
  })
  assert.is(await ended, 0)
  assert.match(output, '"stopped"')
})

test.run()
