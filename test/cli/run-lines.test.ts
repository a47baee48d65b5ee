/** How a run is drawn for people: one axis of time, one place where the answer left, and no line too wide. */
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView, RunView } from '../../src/client/client.ts'
import { glyphsOf, cut, pad, widthOf } from '../../src/cli/terminal.ts'
import { age, duration, runLines, type LinesOptions } from '../../src/cli/run-lines.ts'

const start = Date.parse('2026-11-29T12:00:00.000Z')
const at = (ms: number): string => new Date(start + ms).toISOString()
const glyphs = glyphsOf({})

function jobOf(index: number, members: Partial<JobView>): JobView {
  const policy = { thread: 'worker-1', attempt: 1, maxAttempts: 3, progress: null, error: null, failures: [] }
  const times = { queuedAt: at(0), startedAt: at(0), finishedAt: null, runAt: null, waiting: null, waitsFor: [] }
  const job = { index, task: `task-${index}`, state: 'running', ...policy, ...times, result: null, ...members }
  return job as JobView
}

function runOf(jobs: readonly JobView[], members: Partial<RunView> = {}): RunView {
  const answer = { mode: 'first', jobIndex: 0 }
  const run = { id: 'an-id', state: 'running', version: 1, tags: [], answer, createdAt: at(0), respondedAt: at(250) }
  return { ...run, finishedAt: null, jobs, ...members } as RunView
}

/** Without colours, which a tester may have. */
const drawn = (run: RunView, options: Partial<LinesOptions> = {}): string[] =>
  runLines(run, { glyphs, now: start + 800, ...options }).map(stripVTControlCharacters)

const failure = (attempt: number, from: number, to: number, message: string) => ({
  attempt,
  startedAt: at(from),
  finishedAt: at(to),
  error: { code: 'task_error' as const, message },
})

test('webhooks of a run are shown below its jobs', () => {
  const delivery = { id: 'msg_1', url: 'https://hooks.example/', state: 'delivered', attempts: 1 } as const
  const deliveries = [
    { ...delivery, lastStatus: 204, nextAt: null },
    { ...delivery, id: 'msg_2', state: 'pending' as const, attempts: 2, lastStatus: null, nextAt: at(900) },
  ]
  assert.equal(drawn(runOf([jobOf(0, {})], { deliveries }), {}).slice(-2), [
    '  webhook delivered after 1 try, status 204: https://hooks.example/ (msg_1)',
    `  webhook pending after 2 tries, no response, next at ${at(900)}: https://hooks.example/ (msg_2)`,
  ])
})

test('jobs in a state of a newer service are shown, after all others', () => {
  const state = 'resting' as JobView['state']
  const done = jobOf(1, { state: 'completed', finishedAt: at(240) })
  assert.match(drawn(runOf([jobOf(0, { state }), done]))[2] ?? '', /^ {2}0 {2}task-0 +resting/)
  assert.match(drawn(runOf([jobOf(0, { state }), done]), { maxLines: 1 }).join('\n'), '1 resting')
})

test('all jobs share one axis, and the answer has one place on it', () => {
  const lines = drawn(
    runOf([
      jobOf(0, { state: 'completed', finishedAt: at(240) }),
      jobOf(1, { progress: 0.5 }),
      jobOf(2, {
        state: 'retrying',
        attempt: 1,
        runAt: at(1_200),
        failures: [failure(1, 100, 600, 'no\u001B[31m luck')],
      }),
      jobOf(3, { state: 'queued', startedAt: null, thread: null }),
    ] as JobView[]),
    {},
  )
  const marks = lines.filter((line) => /[┃┗]/.test(line)).map((line) => line.search(/[┃┗]/))
  assert.is(marks.length, 5)
  assert.is(new Set(marks).size, 1, lines.join('\n'))
  assert.match(lines[2] ?? '', /0 {2}task-0 {2}completed {2}━+┃ +240 ms {2}worker-1$/)
  assert.match(lines[3] ?? '', /running +━+┃━+ +━━━━━───── {2}50 % {2}worker-1$/)
  assert.match(lines[4] ?? '', /retrying +·*━+┃━+×·+ +again in 400 ms {2}attempt 1 of 3$/)
  assert.match(lines[5] ?? '', /└ task_error: no luck$/)
  assert.match(lines[6] ?? '', /queued +·+┃·+$/)
  assert.match(lines[7] ?? '', /┗ answered after 250 ms by job 0$/)
})

test('a start that was lost with its process is marked, and so is the attempt after it', () => {
  const lostStart = { startedAt: at(0), takenBackAt: at(400) }
  const [, , again] = drawn(runOf([jobOf(0, { lostStart, startedAt: at(600) })], { respondedAt: null }))
  assert.match(again ?? '', /running {3} +━+↯·+━+/)
  const queued = jobOf(0, { lostStart, state: 'queued', startedAt: null })
  assert.match(drawn(runOf([queued]), { glyphs: glyphsOf({ LANG: 'C' }) })[2] ?? '', / queued +=+\|=+!\.+/)
  const failures = [failure(1, 0, 400, 'the whole process died')]
  const lastLost = {
    lostStart,
    state: 'failed',
    finishedAt: at(400),
    failures,
    error: failures[0]?.error ?? null,
  } as const
  assert.not.match(drawn(runOf([jobOf(0, lastLost)])).join('\n'), '↯')
})

test('on few lines, running and failed jobs are shown, and the others counted', () => {
  const jobs = Array.from({ length: 50 }, (_, index) =>
    jobOf(index, index === 30 ? {} : { state: 'completed', finishedAt: at(index) }),
  )
  const failed = { state: 'failed', finishedAt: at(5), error: { code: 'task_error', message: 'no' } } as const
  const lines = drawn(runOf(jobs.with(40, jobOf(40, failed))), { maxLines: 5 })
  assert.is(lines.length, 2 + 5 + 2)
  assert.ok(lines.some((line) => line.includes('task-30')))
  assert.ok(lines.some((line) => line.includes('task-40')))
  assert.ok(lines.includes('  and 46 completed'))
})

test('a terminal that shows ASCII alone gets nothing else', () => {
  const plain = glyphsOf({ LANG: 'C' })
  const lines = drawn(runOf([jobOf(0, { progress: 0.3 })]), { glyphs: plain })
  assert.match(lines.join('\n'), /^[\x20-\x7E\n]+$/)
  assert.is(glyphsOf({ LANG: 'de_DE.UTF-8' }), glyphs)
  assert.is(glyphsOf({ TERM: 'linux', LANG: 'de_DE.UTF-8' }), plain)
})

test('a text is as wide as the terminal shows it', () => {
  assert.equal(['a', '報告', '👩‍👩‍👧', 'é', '\u001B[31mred\u001B[39m'].map(widthOf), [1, 4, 2, 1, 3])
  assert.is(cut('報告書を', 5, '…'), '報告…')
  assert.is(cut('\u001B[31mred and more\u001B[39m', 4, '…'), '\u001B[31mred…\u001B[39m')
  assert.is(pad('報告', 6), '報告  ')
  assert.equal([999, 1_500, 60_000, 61_500, 3_600_000].map(duration), ['999 ms', '1.5 s', '1 min', '1 min 1 s', '1 h'])
  assert.equal([0, 59_999, 60_000, 200_000_000].map(age), ['0 s ago', '59 s ago', '1 min ago', '2 d ago'])
})

test.run()
