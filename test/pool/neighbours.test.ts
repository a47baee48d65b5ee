/** Jobs that share a thread with one that misbehaves, and jobs that are handed back. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AttemptOutcome } from '../../src/domain/claim.ts'
import type { Attempt } from '../../src/execution/executor.ts'
import { openPool, type OpenPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

/** Jobs that announce in a file that they have begun. */
function openMeetingPlace(opened: OpenPool): Disposable & {
  begin(next: string, timeoutMs?: number): Promise<Attempt>
  begun(count: number): Promise<void>
} {
  const directory = mkdtempSync(join(tmpdir(), 'forerunner-'))
  const file = join(directory, 'begun')
  const size = (): number => {
    try {
      return readFileSync(file).length
    } catch {
      return 0
    }
  }
  return {
    begin: (next, timeoutMs = 60_000) => opened.start({ task: 'script-io', input: { file, next }, timeoutMs }),
    async begun(count) {
      await until(`${count} jobs have begun`, () => size() >= count)
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  }
}

function codeOf(outcome: AttemptOutcome): string {
  if (outcome === 'released') return outcome
  return outcome.ok ? outcome.result : outcome.error.code
}

test('a job that blocks a shared thread times out; its neighbours are handed back unspent', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const neighbours = [await place.begin('wait'), await place.begin('wait')]
  await place.begun(2)
  const blocker = await place.begin('block', 200)
  assert.is(codeOf(await blocker.outcome), 'timeout')
  for (const { outcome } of neighbours) assert.is(await outcome, 'released')
  await opened.whole()
})

test('a job that ends a shared thread is the only one to blame', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const neighbour = await place.begin('wait')
  await place.begun(1)
  const culprit = await place.begin('exit')
  const outcome = await culprit.outcome
  assert.is(codeOf(outcome), 'crashed')
  assert.is(outcome !== 'released' && !outcome.ok && outcome.error.exitCode, 7)
  assert.is(await neighbour.outcome, 'released')
  await opened.whole()
})

test('code of an ended job that ends a shared thread costs no other job its attempt', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const neighbour = await place.begin('wait')
  await place.begun(1)
  const culprit = await place.begin('exit later')
  assert.is(codeOf(await culprit.outcome), '"exit later"')
  assert.is(await neighbour.outcome, 'released')
  await opened.whole()
})

test('a job that is sent to a thread with changed built-ins is handed back', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  // Sent together, so that the thread has both before it can tell that it is in doubt.
  const culprit = await place.begin('patch')
  const next = await opened.start({ task: 'good-io', input: 1 })
  assert.is(codeOf(await culprit.outcome), '"patch"')
  assert.is(await next.outcome, 'released')
  await opened.whole()
})

test('an uncaught error fails its own job; the neighbour completes', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const neighbour = await opened.start({ task: 'good-io', input: 300 })
  const culprit = await place.begin('throw')
  assert.is(codeOf(await culprit.outcome), 'crashed')
  assert.is(codeOf(await neighbour.outcome), '"good"')
  await opened.whole()
})

test('a job that a living thread could not begin is handed back; its neighbour completes', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const culprit = await place.begin('hold up')
  await place.begun(1)
  const next = await opened.start({ task: 'good-io', input: 1 })
  assert.is(await next.outcome, 'released')
  assert.is(codeOf(await culprit.outcome), '"hold up"')
  await opened.whole()
})

test('a job that ignores its signal is abandoned; its neighbour completes, and then the thread is replaced', async () => {
  await using opened = await openPool()
  const neighbour = await opened.start({ task: 'good-io', input: 700 })
  const deaf = await opened.start({ task: 'misbehave-io', input: 'ignores the signal', timeoutMs: 100 })
  assert.is(codeOf(await deaf.outcome), 'timeout')
  assert.is(codeOf(await neighbour.outcome), '"good"')
  await opened.whole()
})

test('a shared thread is replaced also when several of its jobs have tainted it', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const culprits = [await place.begin('throw'), await place.begin('throw'), await place.begin('throw')]
  for (const { outcome } of culprits) assert.is(codeOf(await outcome), 'crashed')
  await opened.whole()
})

test('a thread that begins no more jobs is replaced, and the jobs sent to it are handed back', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  // It blocks the loop from a timer of a job that has ended, so that no running job is there to be timed out.
  const culprit = await place.begin('block later')
  assert.is(codeOf(await culprit.outcome), '"block later"')
  const sent = await opened.start({ task: 'good-io', input: 1, timeoutMs: 4_000 })
  // In rare cases it begins before the block, and then its own time ends it.
  assert.ok(['released', 'timeout'].includes(codeOf(await sent.outcome)))
  await opened.whole()
  assert.is(codeOf(await opened.outcomeOf({ task: 'good-io', input: 1 })), '"good"')
})

test('a released job that obeys its signal is handed back, and one that still completes keeps its result', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  const waiting = await place.begin('wait')
  const finishing = await place.begin('finish')
  await place.begun(2)
  waiting.release()
  finishing.release()
  assert.is(codeOf(await waiting.outcome), 'released')
  assert.is(codeOf(await finishing.outcome), '"finish"')
  await opened.whole()
})

test('a released cpu job that does not stop is handed back after the grace, and its thread replaced', async () => {
  await using opened = await openPool()
  const spinning = await opened.start({ task: 'misbehave-cpu', input: 'endless loop', timeoutMs: 60_000 })
  spinning.release()
  assert.is(await spinning.outcome, 'released')
  await opened.whole()
})

test('a thread without room takes nothing', async () => {
  await using opened = await openPool()
  const running = await opened.start({ task: 'misbehave-cpu', input: 'heeds the signal', timeoutMs: 60_000 })
  assert.not.ok(opened.pool.freeSlots().some(({ kind }) => kind === 'cpu'))
  running.release()
  await running.outcome
})

test('time counts from the start of the task, not from its sending', async () => {
  await using opened = await openPool()
  using place = openMeetingPlace(opened)
  // The loop of the shared thread is blocked for longer than the neighbour's time, so that one cannot begin.
  const blocker = await place.begin('block', 400)
  await place.begun(1)
  const late = await opened.start({ task: 'good-io', input: 1, timeoutMs: 50 })
  assert.is(codeOf(await blocker.outcome), 'timeout')
  assert.is(await late.outcome, 'released')
})

test.run()
