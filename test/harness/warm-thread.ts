/** The thread behind `withWarmThreads`: evaluates the module of a thread with a port in place of its own, as often as asked. */
import { syncBuiltinESMExports } from 'node:module'
import threads, { parentPort } from 'node:worker_threads'
import type { Begun } from './warm-threads.ts'

let turns = 0

parentPort?.on('message', ({ url, workerData, port }: Begun) => {
  Object.assign(threads, { parentPort: port, workerData })
  syncBuiltinESMExports()
  turns += 1
  // Each query makes another module of it; what it imports is loaded once.
  void import(`${url}?turn=${turns}`)
})
