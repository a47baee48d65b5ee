/** Inputs and results are shown as they were written: each number with its digits, each member in its place. */
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { tasksDir } from '../page/shared.ts'

const input = String.raw`{ "b": 1.0, "10": [18446744073709551616, -0, 1E2], "2": {"\u0061": "\u00e9 \"},{\\"}, "token": "t"}`
const masked = input.replace('"t"', '"•••"')
const result = '{"token":"hidden","id":12345678901234567890,"share":1.0}'
const as = (key: string) => ({ Authorization: `Bearer ${key}` })

test('a body of any size and packing, a schedule, and a read-only key leave every character of them', async () => {
  await using service = await startService({ tasksDir, apiKeys: ['writer'], apiKeysRead: ['reader'] })
  const read = async (path: string, key = 'writer'): Promise<string> => (await service.get(path, as(key))).text()
  const tasks =
    String.raw`"\u0074asks" : [{"name":"exact"},` + `\n {"input" :${input}, "name":"exact"}, {"name":"exact"}]`
  const body = `{"respond":"all", ${tasks}}`
  const headers = { ...as('writer'), 'Content-Type': 'application/json' }
  const packed = { ...headers, 'Content-Encoding': 'gzip' }
  const sent = [
    await service.post('/run-tasks', body, headers),
    await service.post('/run-tasks', body.padEnd(200_000), headers),
    await service.fetch('/run-tasks', { method: 'POST', body: gzipSync(body), headers: packed }),
  ]
  for (const response of sent) {
    const text = await response.clone().text()
    assert.ok(text.includes(`"results":[${result},${result},${result}]`), text)
    const { id } = await readRun(response)
    assert.is(await read(`/runs/${id}/jobs/1/input`), input)
    assert.is(await read(`/runs/${id}/jobs/1/input`, 'reader'), masked)
    for (const path of [`/runs/${id}`, `/runs/${id}/jobs/1`, `/runs/${id}/events`]) {
      assert.ok((await read(path)).includes(`"result":${result}`), path)
      assert.ok((await read(path, 'reader')).includes(`"result":${result.replace('hidden', '•••')}`), path)
    }
  }

  const schedule = `{"cron":"0 0 1 1 *", "request": {${tasks}}}`
  await service.fetch('/schedules/exact', { method: 'PUT', body: schedule, headers })
  assert.ok((await read('/schedules/exact')).includes(`"input":${input}`))
  assert.ok((await read('/schedules', 'reader')).includes(`"input":${masked}`))
  const { id } = await readRun(await service.post('/schedules/exact/run', undefined, as('writer')))
  assert.is(await read(`/runs/${id}/jobs/1/input`), input)
})

test.run()
