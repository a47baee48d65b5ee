/** A client that goes away, at whatever moment, changes nothing of what it has asked for. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { createRandom } from '../harness/random.ts'
import { listRuns, readStats } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const seed = Number(process.env['DISCONNECT_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const clients = 120
const maxTurns = 30

const body = JSON.stringify({
  tasks: [{ name: 'where' }, { name: 'wait', input: { ms: 5 } }, { name: 'echo', input: 1 }],
})
const request = (name: number): string =>
  [
    'POST /run-tasks HTTP/1.1',
    'Host: localhost',
    'Content-Type: application/json',
    `Idempotency-Key: client-${name}`,
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n')

/** Sends up to `bytes` of the request, lets some turns of the loop pass, and cuts the connection. */
async function leave(service: Service, name: number, bytes: number, turns: number): Promise<void> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  await new Promise((resolve) => socket.write(request(name).slice(0, bytes), resolve))
  for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate)
  socket.resetAndDestroy()
}

const runsIn = (service: Service) => listRuns(service, '?pageSize=500')

test(`of ${clients} clients that go away, every run that was accepted is completed (DISCONNECT_SEED=${seed})`, async () => {
  await using service = await shareService()
  const random = createRandom(seed)
  const whole = request(0).length
  let complete = 0
  const leaving = Array.from({ length: clients }, (_, name) => {
    const length = request(name).length
    // Half of them send all of it.
    const bytes = random.chance(0.5) ? length : random.whole(0, whole)
    if (bytes >= length) complete += 1
    return leave(service, name, bytes, random.whole(0, maxTurns))
  })
  await Promise.all(leaving)
  const runs = await until('every run has ended', async () => {
    const { backlog } = await readStats(service)
    return backlog === 0 && runsIn(service)
  })
  assert.ok(runs.length > 0 && runs.length <= complete, `${runs.length} runs of ${complete} whole requests`)
  for (const { id, state, answer, jobs } of runs) {
    assert.is(state, 'completed', id)
    assert.equal(answer, { mode: 'first', jobIndex: 0 })
    assert.equal(
      jobs.map(({ state: ofJob, attempt }) => [ofJob, attempt]),
      [
        ['completed', 1],
        ['completed', 1],
        ['completed', 1],
      ],
    )
  }
})

test('a run whose client has gone away is answered to the next one with its key', async () => {
  await using service = await shareService()
  await leave(service, 1, request(1).length, maxTurns)
  const [run] = await until('it has ended', async () => {
    const runs = await runsIn(service)
    return runs[0]?.state === 'completed' && runs
  })
  const again = await service.post('/run-tasks', body, { 'Idempotency-Key': 'client-1' })
  assert.equal([again.status, again.headers.get('Idempotency-Replayed')], [200, 'true'])
  assert.is(((await again.json()) as RunView).id, run?.id)
})

test.run()
