/** `npm run dev` starts again on each change of a task's file or of its directory, and that costs running jobs nothing. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'

test('a new task is found, and a job outlives more restarts than a crash may cost', async () => {
  await using home = await makeHome()
  const directory = join(home.directory, 'tasks')
  mkdirSync(directory)
  const write = (name: string, text: string): void => writeFileSync(join(directory, `${name}.mjs`), text)
  write('endless', 'export default { run: () => new Promise(() => {}) }\n')
  const child = await home.start({ TASKS_DIR: directory }, 'npm run dev')
  const posted = await child.post('/run-tasks', { tasks: [{ name: 'endless' }], respond: 'none' })
  const { id } = await readRun(posted)
  for (const version of [1, 2, 3, 4]) {
    write('fresh', `export default { run: () => ${version} }\n`)
    await until(`version ${version} answers`, async () => {
      const response = await post(urlOf(child), { tasks: [{ name: 'fresh' }] })
      return response?.ok === true && (await readRun(response)).result === version
    })
    await until('the job runs again', async () => (await jobOf(child, id))?.state === 'running')
  }
  const job = await jobOf(child, id)
  assert.equal([job?.attempt, job?.failures], [1, []])
  assert.ok(child.lines.filter(({ msg }) => msg.startsWith('ready')).length > 4)
  assert.not.ok(child.lines.some(({ msg }) => msg.includes('took back')))
})

/** Each start has an address of its own. */
function urlOf(child: Child): string {
  return String(child.lines.findLast(({ msg }) => msg.startsWith('ready at'))?.['url'])
}

async function post(url: string, body: unknown): Promise<Response | undefined> {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
  // Between two starts nobody listens.
  return fetch(`${url}/run-tasks`, init).catch(() => undefined)
}

async function jobOf(child: Child, id: string) {
  const response = await fetch(`${urlOf(child)}/runs/${id}`).catch(() => undefined)
  return response?.ok === true ? (await readRun(response)).jobs[0] : undefined
}

test.run()
