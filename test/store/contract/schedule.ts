/** A schedule is written by a writer that knows its latest revision, in one transaction with the run of a tick. */
import { randomUUID } from 'node:crypto'
import * as assert from 'uvu/assert'
import { maxSchedules, type Schedule } from '../../../src/domain/schedule.ts'
import type { ScheduleChange, ScheduleResult, Store } from '../../../src/store/store.ts'
import { claimOne, runIn, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

function scheduleOf(members: Partial<Schedule> = {}): Schedule {
  const definition = { cron: '0 3 * * *', timeZone: 'UTC', request: '{"tasks":[]}', missed: 'one' } as const
  const state = { isDeclared: false, isPaused: false, nextAt: start, lastAt: null, lastRunId: null, problem: null }
  return { name: 'nightly', revision: randomUUID(), ...definition, ...state, ...members }
}

function change(store: Store, members: Partial<ScheduleChange>): Promise<ScheduleResult> {
  return store.changeSchedule({ name: 'nightly', from: null, to: null, run: null, ...members }, start)
}

async function added(store: Store, members: Partial<Schedule> = {}): Promise<Schedule> {
  const to = scheduleOf(members)
  assert.is(await change(store, { name: to.name, to }), 'changed')
  return to
}

export function scheduleContract(register: Register): void {
  register('schedule: a written schedule is read by name, in a list, and after a restart', async (subject) => {
    const problem = { at: start, code: 'unknown-task', detail: 'no "x" \u0000 \ud800' }
    const one = await added(subject.store, { name: 'b', lastAt: start, lastRunId: runOf().id, problem })
    const other = await added(subject.store, { name: 'B', isDeclared: true, isPaused: true, nextAt: null })
    const store = await subject.replace()
    assert.equal(await store.getSchedule('b'), one)
    assert.equal(await store.listSchedules(), [other, one])
    assert.is(await store.getSchedule('c'), null)
  })

  register('schedule: a change from another revision than the latest does nothing', async ({ store }) => {
    const first = await added(store)
    assert.is(await change(store, { to: scheduleOf() }), 'outdated')
    assert.is(await change(store, { from: randomUUID(), to: scheduleOf() }), 'outdated')
    assert.is(await change(store, { from: randomUUID() }), 'outdated')
    assert.is(await change(store, { name: 'other', from: first.revision, to: scheduleOf() }), 'outdated')
    assert.equal(await store.listSchedules(), [first])
    const second = scheduleOf({ nextAt: start + 1 })
    assert.is(await change(store, { from: first.revision, to: second }), 'changed')
    assert.is(await change(store, { from: first.revision }), 'outdated')
    assert.equal(await store.getSchedule('nightly'), second)
    assert.is(await change(store, { from: second.revision }), 'changed')
    assert.is(await store.getSchedule('nightly'), null)
    assert.is(await change(store, { from: second.revision }), 'outdated')
  })

  register('schedule: of writers that race for the last places each gets one or none', async ({ store }) => {
    const names = Array.from({ length: maxSchedules - 2 }, (_, index) => `s${index}`)
    await Promise.all(names.map((name) => added(store, { name, isDeclared: true })))
    const racing = await Promise.all(
      ['a', 'b', 'c', 'd', 'e'].map((name) => change(store, { name, to: scheduleOf({ name }) })),
    )
    assert.equal(racing.toSorted(), ['changed', 'changed', 'full', 'full', 'full'])
    assert.is(await change(store, { name: 's0', to: scheduleOf({ name: 's0' }) }), 'outdated')
    await added(store, { name: 'declared', isDeclared: true })
    const first = await store.getSchedule('s0')
    assert.is(
      await change(store, { name: 's0', from: first?.revision ?? '', to: scheduleOf({ name: 's0' }) }),
      'changed',
    )
    assert.is((await store.listSchedules()).length, maxSchedules + 1)
  })

  register('schedule: of writers that race for a tick, one makes its run', async ({ store }) => {
    const { revision: from } = await added(store)
    const runs = Array.from({ length: 20 }, () => runOf({ tags: ['schedule:nightly'] }))
    const results = await Promise.all(
      runs.map((run) => change(store, { from, to: scheduleOf({ nextAt: start + 1, lastRunId: run.id }), run })),
    )
    assert.is(results.filter((result) => result === 'changed').length, 1)
    const winner = runs[results.indexOf('changed')]?.id
    const { runs: made } = await store.listRuns({ tag: 'schedule:nightly', pageSize: 50 })
    assert.equal(
      made.map(({ id }) => id),
      [winner],
    )
    assert.is((await store.getSchedule('nightly'))?.lastRunId, winner)
    assert.is((await claimOne(store, start)).runId, winner)
    assert.equal((await store.stats(start)).conservation, { accepted: 1, final: 0, live: 1, lost: 0 })
  })

  register('schedule: a run that cannot be accepted leaves the tick due', async ({ store }) => {
    const before = await added(store)
    const run = runOf()
    await store.accept(run, start)
    await change(store, { from: before.revision, to: scheduleOf(), run }).then(
      () => assert.unreachable('a run was accepted twice'),
      () => {},
    )
    assert.equal(await store.getSchedule('nightly'), before)
    assert.is((await runIn(store, run.id)).version, 1)
  })

  register('schedule: due ones come by their ticks, with the next tick of the others', async ({ store }) => {
    assert.equal(await store.dueSchedules(start), { due: [], nextAt: null })
    const late = await added(store, { name: 'late', nextAt: start })
    const later = await added(store, { name: 'later', nextAt: start - 1 })
    await added(store, { name: 'next', nextAt: start + 5 })
    await added(store, { name: 'far', nextAt: start + 4_000_000_000_000 })
    await added(store, { name: 'paused', nextAt: null })
    assert.equal(await store.dueSchedules(start), { due: [later, late], nextAt: start + 5 })
    assert.is((await store.dueSchedules(start + 5)).nextAt, start + 4_000_000_000_000)
  })
}
