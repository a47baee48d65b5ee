/** Clients do not decide how much memory the service takes: it lives through all of them in a heap that is soon full. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { makeHome, type Child } from '../harness/child.ts'
import { readRun, readStats } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { open } from '../http/raw.ts'

const tasks = fileURLToPath(new URL('../fixtures/memory-tasks/', import.meta.url))
const mebibyte = 1_048_576
const jobs = 15
const heapMb = 200
/** Threads, buffers and the rest beside the heap. */
const maxRssMb = 700

const large = (count: number, respond: string) => ({
  respond,
  tasks: Array.from({ length: count }, () => ({ name: 'large', input: { bytes: mebibyte } })),
})

async function completed(child: Child, id: string): Promise<RunView> {
  return until(`${id} is completed`, async () => {
    const response = await child.get(`/runs?state=completed`)
    const { runs } = (await response.json()) as { runs: RunView[] }
    return runs.find((run) => run.id === id)
  })
}

/** Sends so much and reads nothing of what is answered. */
function attack(child: Child, bytes: string): Socket {
  const socket = open(child.url)
  socket.on('error', () => {})
  socket.pause()
  socket.write(bytes)
  return socket
}

function peakRssMb(pid: number | undefined): number {
  const kilobytes = /^VmHWM:\s+(?<size>\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.groups?.['size']
  return Number(kilobytes) / 1024
}

test('memory for requests and unread responses stays bounded, and nothing is lost', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks, NODE_OPTIONS: `--max-old-space-size=${heapMb}` })
  const child = await home.start()
  const { id } = await readRun(await child.post('/run-tasks', large(jobs, 'none')))
  await completed(child, id)
  const wide = { respond: 'none', tasks: Array.from({ length: 100 }, () => ({ name: 'large', input: { bytes: 2 } })) }
  await Promise.all(Array.from({ length: 30 }, () => child.post('/run-tasks', wide)))

  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const unread = [
    attack(child, get(`/runs/${id}`).repeat(30)),
    ...Array.from({ length: 20 }, () => attack(child, get(`/runs/${id}/events`))),
    ...Array.from({ length: 20 }, (_, index) => attack(child, get(`/runs/${id}/jobs/${index % jobs}`))),
    ...Array.from({ length: 10 }, () => attack(child, get('/runs?pageSize=500'))),
  ]
  const header = `POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${mebibyte}\r\n\r\n`
  const unfinished = Array.from({ length: 150 }, () => attack(child, header + ' '.repeat(mebibyte - 1)))
  const reading = Array.from({ length: 15 }, async () => {
    const response = await child.get(`/runs/${id}`)
    let bytes = 0
    for await (const chunk of response.body ?? []) bytes += chunk.length
    return { status: response.status, retryAfter: response.headers.get('Retry-After'), bytes }
  })
  const small = await child.post('/run-tasks', { tasks: [{ name: 'large', input: { bytes: 10 } }] })
  assert.is(small.status, 200, 'a small request is served meanwhile')
  assert.is((await readRun(small)).result, 'x'.repeat(8))
  const read = await Promise.all(reading)
  for (const { status, retryAfter, bytes } of read) {
    if (status === 200) assert.ok(bytes > jobs * mebibyte)
    else assert.equal([status, retryAfter], [503, '1'])
  }

  for (const socket of [...unread, ...unfinished]) socket.destroy()
  // All of it, when there is room again.
  const whole = await until('the run can be read', async () => {
    const response = await child.get(`/runs/${id}`)
    return response.status === 200 && readRun(response)
  })
  assert.is(whole.jobs.length, jobs)
  for (const { result } of whole.jobs) assert.is(String(result).length, mebibyte - 2)
  const { conservation } = await readStats(child)
  assert.is(conservation.lost, 0)
  if (process.platform === 'linux') {
    const peak = peakRssMb(child.pid)
    assert.ok(peak < maxRssMb, `it took ${peak} MB`)
  }
})

test.run()
