/** What a task marks as secret is hidden from read-only keys, in every form in which it could be shown, and from search. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { tasksDir } from '../page/shared.ts'

const login = {
  name: 'login',
  input: { user: 'ann', password: 'correct horse', cards: [{ number: 4242424242 }, { number: 17 }] },
}
const failing = { ...login, input: { ...login.input, fails: true } }
const secrets = /correct horse|4242424242|token-of-ann/

const as = (key: string) => ({ Authorization: `Bearer ${key}` })

async function begin(service: Service, task: object): Promise<string> {
  const { id } = await readRun(
    await service.post('/run-tasks', { tasks: [{ name: 'form', input: { title: 'a' } }, task] }, as('writer')),
  )
  await (await service.get(`/runs/${id}/events`, as('writer'))).text()
  return id
}

test('a read-only key sees a mask in inputs, results and events; a key that may write sees the values', async () => {
  await using service = await startService({ tasksDir, apiKeys: ['writer'], apiKeysRead: ['reader'] })
  const id = await begin(service, login)
  const read = async (path: string, key: string): Promise<string> => (await service.get(path, as(key))).text()

  assert.equal(JSON.parse(await read(`/runs/${id}/jobs/1/input`, 'writer')), login.input)
  assert.equal(JSON.parse(await read(`/runs/${id}/jobs/1/input`, 'reader')), {
    ...login.input,
    password: '•••',
    cards: [{ number: '•••' }, { number: '•••' }],
  })
  assert.is(await read(`/runs/${id}/jobs/0/input`, 'reader'), '{"title":"a"}')
  const paths = [`/runs/${id}`, `/runs/${id}/jobs/1`, `/runs/${id}/events`]
  for (const path of paths) {
    assert.match(await read(path, 'writer'), 'token-of-ann')
    const shown = await read(path, 'reader')
    assert.match(shown, '"session":{"token":"•••","lastsMs":60000}')
    assert.not.match(shown, secrets)
  }
  assert.is((await service.get(`/runs/${id}/jobs/9/input`, as('reader'))).status, 404)
})

test('an error that repeats a secret is stored without it, and search does not find it', async () => {
  await using service = await startService({ tasksDir })
  const [done, failed] = [await begin(service, login), await begin(service, failing)]
  const { jobs } = await readRun(await service.get(`/runs/${failed}`))
  assert.is(jobs[1]?.error?.message, 'ann cannot log in with ••• and •••')
  assert.not.match(await (await service.get('/runs')).text(), secrets)
  const find = async (q: string): Promise<string[]> => {
    const { runs } = (await (await service.get(`/runs?q=${encodeURIComponent(q)}`)).json()) as {
      readonly runs: readonly { readonly id: string }[]
    }
    return runs.map(({ id }) => id).toSorted()
  }
  if (process.env['TEST_ENGINE'] === 'postgres') return
  await until('both are in the index', async () => (await find('ann')).length === 2)
  assert.equal(await find('ann'), [done, failed].toSorted())
  for (const words of ['correct horse', 'horse', '4242424242', 'token-of-ann']) assert.equal(await find(words), [])
})

test.run()
