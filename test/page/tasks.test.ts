/** The live page in a real browser, against a real service: what it says of a task. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/client/client.ts'
import { startService } from '../harness/service.ts'
import { startReceiver, webhookSecret } from '../harness/receiver.ts'
import { until } from '../harness/until.ts'
import { groupFailures } from '../../web/task/failure-groups.ts'
import { violationsOf } from './accessible.ts'
import { startBrowser } from './browser.ts'
import { checkClean, commandsIn, start, tasksDir } from './shared.ts'

/** For all of them; the last test closes it. */
const browser = await startBrowser()

test('shows the figures and failures of a task, pauses it and resumes it', async () => {
  await using service = await startService({ tasksDir })
  const login = (user: string) => ({ name: 'login', input: { user, password: 'correct horse', fails: true } })
  const failing = {
    tasks: [login(`"user 17"`), login(`"user 4"`), { name: 'charge', maxAttempts: 1 }],
    respond: 'none',
  }
  const ids = await Promise.all([start(service, failing), start(service, failing)])
  for (const id of ids) await (await service.get(`/runs/${id}/events`)).text()
  await using tab = await browser.open(`${service.url}/?overview`)
  const { page } = tab
  await page.getByRole('region', { name: 'Tasks' }).getByRole('link', { name: 'login' }).click()
  await page.getByRole('heading', { name: /^login runs [\d.]+ times a minute; .* and 4 jobs failed\.$/ }).waitFor()
  const failures = page.getByRole('region', { name: 'Failures' })
  await failures.getByText('✕ 4').waitFor()
  await failures.getByText('Error: … cannot log in with ••• and undefined').waitFor()
  assert.is(await failures.getByRole('listitem').count(), 1)
  await page.getByRole('img', { name: 'login in the last hour: 4 attempts, 4 failed' }).waitFor()
  assert.equal(await violationsOf(page), [])

  await page.goto(`${service.url}/?run=${ids[0]}`)
  await page
    .getByRole('region', { name: 'Log' })
    .getByText('refused {"user":"\\"user 17\\"","password":"•••"}')
    .waitFor()
  await page.goto(`${service.url}/?about=login`)

  assert.equal(await commandsIn(page, page.locator('main')), [
    'curl -X POST /tasks/login/pause',
    'forerunner pause login',
  ])
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByRole('heading', { name: 'login is paused: its jobs wait.' }).waitFor()
  const waiting = await start(service, {
    tasks: [{ name: 'login', input: { user: 'ann', password: 'x' } }],
    respond: 'none',
  })
  await page.goto(`${service.url}/?run=${waiting}`)
  await page.getByText('The task login is paused: its jobs wait until it is resumed.').waitFor()
  await page.getByRole('link', { name: 'login' }).first().click()
  await page.getByRole('button', { name: 'Resume' }).click()
  await until(
    'it has run',
    async () => ((await (await service.get(`/runs/${waiting}`)).json()) as RunView).state === 'completed',
  )
  await page.getByRole('link', { name: 'Start one…' }).click()
  assert.is(await page.getByLabel('▸ Answers').inputValue(), 'login')
  checkClean(tab)
})

test('shows the progress of the webhooks of a run, and sends them again', async () => {
  await using receiver = await startReceiver(
    (response, _request, nth) => void response.writeHead(nth === 0 ? 410 : 204).end(),
  )
  await using service = await startService({ tasksDir, webhookSecret: [webhookSecret], webhookAllowPrivate: true })
  const body = { tasks: [{ name: 'form', input: { title: 'a' } }], webhook: { url: `${receiver.url}/hook` } }
  const id = await start(service, body)
  await receiver.gets(1)
  await using tab = await browser.open(`${service.url}/?run=${id}`)
  const { page } = tab
  const webhooks = page.getByRole('region', { name: 'Webhooks' })
  await webhooks.getByText('1 attempt, status 410.').waitFor()
  await webhooks.locator('.is-failed').waitFor()
  assert.equal(await violationsOf(page), [])
  const [, redeliver] = await commandsIn(page, webhooks)
  assert.match(redeliver ?? '', new RegExp(`^forerunner redeliver ${id} \\S+$`))
  await webhooks.getByRole('button', { name: 'Send again' }).click()
  await receiver.gets(2)
  await webhooks.locator('.is-completed').waitFor()
  checkClean(tab)
})

test('a schedule says when it ticks in words and both time zones, runs now, and is paused', async () => {
  await using service = await startService({ tasksDir })
  await using tab = await browser.open(`${service.url}/?schedules`, { timezoneId: 'America/New_York' })
  const { page } = tab
  await page.getByRole('heading', { name: 'No schedules yet.' }).waitFor()
  await page.getByText('curl -X PUT').waitFor()
  const request = { tasks: [{ name: 'form', input: { title: 'a' } }] }
  const schedule = { cron: '30 3 * * 1-5', timeZone: 'Asia/Tokyo', request }
  await service.fetch('/schedules/nightly', {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(schedule),
  })
  await page.reload()
  await page.getByRole('heading', { name: /^1 schedule; nightly is next, in .*\.$/ }).waitFor()
  await page.getByText('at 03:30 on weekdays').waitFor()
  await page.getByText(/· \w{3} \d+ \w{3}, 03:30 Asia\/Tokyo · .*1[34]:30 America\/New_York, here$/).waitFor()
  await page.getByText('it has not ticked yet').waitFor()
  assert.equal(await violationsOf(page), [])
  await page.getByRole('button', { name: 'Run now' }).click()
  await page.getByRole('status').filter({ hasText: 'started …' }).waitFor()
  assert.equal(await commandsIn(page, page.locator('main')), [
    'curl -X POST /schedules/nightly/run',
    'forerunner schedules run nightly',
    'curl -X POST /schedules/nightly/pause',
    'forerunner schedules pause nightly',
  ])
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('not while it is paused').waitFor()
  await page.getByRole('link', { name: 'nightly' }).click()
  await page.locator('tbody tr').first().waitFor()
  checkClean(tab)
})

test('failures that differ in numbers, ids and names alone are one group, with its course', () => {
  const to = Date.UTC(2026, 10, 30)
  const job = (index: number, message: string, at: number) => ({
    index,
    task: 'mail',
    state: 'failed',
    finishedAt: new Date(at).toISOString(),
    error: { code: 'task_error', name: 'Error', message },
  })
  const runs = [
    { id: 'b', jobs: [job(0, 'no route to 10.0.0.7:25 for ann@example.com', to - 1)] },
    { id: 'a', jobs: [job(3, 'no route to 10.0.1.200:587 for bob.b@example.org', to - 24), job(4, 'full', to - 12)] },
  ] as unknown as RunView[]
  const { groups, from } = groupFailures('mail', runs, to)
  assert.is(from, to - 24)
  assert.equal(
    groups.map(({ says, count, last }) => [says, count, last.runId, last.jobIndex]),
    [
      ['Error: no route to … for …', 2, 'b', 0],
      ['Error: full', 1, 'a', 4],
    ],
  )
  const [course] = groups.map((group) => group.course)
  assert.is(course?.[0], 1)
  assert.is(course?.at(-1), 1)
  assert.equal(groupFailures('other', runs, to).groups, [])
})

test('the browser closes', async () => {
  await browser[Symbol.asyncDispose]()
})

test.run()
