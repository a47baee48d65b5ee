/**
 * The thread that renews the lease of this process, on a connection of its own, so that a busy main thread keeps its jobs.
 * When the loop of the main thread has not turned for a minute, the thread stops the renewal, and the jobs are lost.
 */
import { messageOf } from '../../../domain/errors.ts'
import { parentPort, workerData } from 'node:worker_threads'
import { createHeartbeat, watchForStall } from '../../../runtime/stall-watch.ts'
import { createConnect, loadPg, type Connection } from '../connection/connection.ts'
import type { FromLeaseThread, LeaseThreadOptions } from './lease.ts'

const port = parentPort
if (port === null) throw new Error('this file runs in a thread of its own')

/** Rounds without a beat of the main thread. They are counted, not timed: a suspended machine is no stall. */
const maxMisses = 30

// Set by `createLease`, which is of the same version.
const { processId, tasks, beats, stall, ...database } = workerData as LeaseThreadOptions
const report = (message: FromLeaseThread): void => port.postMessage(message)

const connect = createConnect(await loadPg(), database)
const mainThread = createHeartbeat(beats)
const watch = stall && watchForStall(stall)
const renew = {
  name: 'renew',
  text: `
    INSERT INTO process (id, heartbeat_at, tasks) VALUES ($1, clock_timestamp(), $2)
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at`,
}
let connection: Connection | null = null
let seen = mainThread.beats()
let misses = 0
let isStopped = false
let renewing: Promise<void> = Promise.resolve()

async function renewOnce(): Promise<void> {
  const count = mainThread.beats()
  misses = count === seen ? misses + 1 : 0
  seen = count
  if (misses >= maxMisses) return report({ type: 'missed', reason: 'the main thread is blocked' })
  try {
    if (connection === null || !connection.isOpen()) connection = await connect('lease')
    if (isStopped) return
    await connection.query(renew, [processId, tasks])
    report({ type: 'renewed' })
  } catch (error) {
    report({ type: 'missed', reason: messageOf(error) })
  }
}

function round(): void {
  renewing = renewOnce().then(() => {
    if (!isStopped) timer = setTimeout(round, database.timing.renewMs)
  })
}

let timer: NodeJS.Timeout | undefined
port.on('message', () => {
  isStopped = true
  clearTimeout(timer)
  watch?.stop()
  void renewing.then(() => connection?.end()).then(() => port.close())
})
round()
