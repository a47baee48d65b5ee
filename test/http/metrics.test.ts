/** GET /metrics: the service's own numbers in Prometheus' text format. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const linePattern = /^(?<name>[a-z_]+)(?:\{(?<labels>[^}]*)\})? (?<value>[-+.e\d]+|NaN|\+Inf)$/

/** `name{label="value"}` to its value. */
async function scrape(service: Service): Promise<Map<string, number>> {
  const response = await service.get('/metrics')
  assert.is(response.status, 200)
  assert.match(response.headers.get('Content-Type') ?? '', /^text\/plain; version=0\.0\.4; charset=utf-8$/)
  const samples = new Map<string, number>()
  for (const line of (await response.text()).split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const { name, labels, value } = linePattern.exec(line)?.groups ?? {}
    if (name === undefined) throw new Error(`not in the text format: ${line}`)
    samples.set(labels === undefined ? name : `${name}{${labels}}`, Number(value))
  }
  return samples
}

test('every metric of the contract exists, and each name starts with forerunner_', async () => {
  await using service = await startService()
  await service.post('/run-tasks', { tasks: [{ name: 'echo' }], respond: 'all' })
  const text = await (await service.get('/metrics')).text()
  const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => String(name))
  assert.equal(
    names.filter((name) => !/^forerunner_[a-z_]+$/.test(name)),
    [],
  )
  for (const name of [
    'first_response_seconds',
    'commit_seconds',
    'queue_wait_seconds',
    'job_duration_seconds',
    'jobs_total',
    'backlog',
    'oldest_queued_seconds',
    'event_loop_delay_seconds',
    'pool_threads',
    'pool_thread_busy_ratio',
    'pool_replaced_threads_total',
    'pool_zombie_threads',
    'main_overruns_total',
    'main_cooling_tasks',
    'event_streams',
  ]) {
    assert.ok(names.includes(`forerunner_${name}`), name)
  }
  // Ids would make a time series of every run.
  assert.not.match(text, /[0-9a-f]{8}-[0-9a-f]{4}-/)
})

test('jobs are counted by task and outcome, once each, and every attempt is timed', async () => {
  await using service = await startService()
  const tasks = [{ name: 'echo' }, { name: 'echo' }, { name: 'fail' }, { name: 'flaky', maxAttempts: 2 }]
  await service.post('/run-tasks', { tasks, respond: 'all' })
  const samples = await scrape(service)
  const of = (name: string) => samples.get(`forerunner_${name}`)
  assert.is(of('jobs_total{task="echo",outcome="completed"}'), 2)
  assert.is(of('jobs_total{task="fail",outcome="task_error"}'), 1)
  assert.is(of('jobs_total{task="flaky",outcome="completed"}'), 1)
  assert.is(of('jobs_total{task="flaky",outcome="task_error"}'), undefined)
  assert.is(of('retries_total{task="flaky"}'), 1)
  assert.is(of('job_duration_seconds_count{task="flaky",outcome="task_error"}'), 1)
  assert.is(of('job_duration_seconds_count{task="flaky",outcome="completed"}'), 1)
  assert.is(of('first_response_seconds_count'), 1)
  assert.ok((of('commit_seconds_count') ?? 0) >= 2)
  assert.is(of('backlog'), 0)
  assert.is(of('runs{state="failed"}'), 1)
  assert.is(of('jobs{state="completed"}'), 3)
  assert.is(of('jobs_lost'), 0)
})

test('waiting and running jobs are counted at the time of the request', async () => {
  await using service = await startService({ threads: 1 })
  const waiting = { name: 'wait', input: { ms: 60_000 } }
  const late = { name: 'echo', delayMs: 3_600_000 }
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [waiting, late], respond: 'none' }))
  const samples = await until('the job runs', async () => {
    const now = await scrape(service)
    return now.get('forerunner_pool_running_jobs{kind="io"}') === 1 && now
  })
  assert.is(samples.get('forerunner_backlog'), 2)
  assert.is(samples.get('forerunner_oldest_queued_seconds'), 0)
  assert.is(samples.get('forerunner_pool_threads{kind="cpu",state="ready"}'), 1)
  assert.is(samples.get('forerunner_pool_zombie_threads'), 0)
  await service.post(`/runs/${id}/cancel`)
  const after = await scrape(service)
  assert.equal([after.get('forerunner_backlog'), after.get('forerunner_jobs{state="cancelled"}')], [0, 2])
})

test('threads that were replaced are counted by cause', async () => {
  await using service = await startService()
  await service.post('/run-tasks', { tasks: [{ name: 'echo' }, { name: 'exit', input: { code: 3 } }], respond: 'all' })
  const count = await until('it is counted', async () =>
    (await scrape(service)).get('forerunner_pool_replaced_threads_total{cause="died"}'),
  )
  assert.is(count, 1)
})

test('a first job that holds up the main thread is counted by its task', async () => {
  await using service = await startService({ mainBudgetMs: 10 })
  await service.post('/run-tasks', { tasks: [{ name: 'spin', input: { ms: 2_000 } }] })
  const samples = await scrape(service)
  assert.is(samples.get('forerunner_main_overruns_total{task="spin",end="interrupted"}'), 1)
  assert.is(samples.get('forerunner_main_cooling_tasks'), 1)
  assert.is(samples.get('forerunner_event_streams'), 0)
})

test('without its store the service has no metrics', async () => {
  await using service = await startService()
  await service.app.drain()
  await service.app.close()
  await expectProblem(await service.get('/metrics'), 'store-unavailable')
})

test.run()
