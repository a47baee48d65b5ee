/** The thread of `withWarmThreads`: evaluates a thread's module any number of times, with a port instead of `parentPort`. */
import { syncBuiltinESMExports } from 'node:module'
import threads, { parentPort } from 'node:worker_threads'
import type { Begun } from './warm-threads.ts'

let turns = 0

parentPort?.on('message', ({ url, workerData, port }: Begun) => {
  Object.assign(threads, { parentPort: port, workerData })
  syncBuiltinESMExports()
  turns += 1
  // Each query makes a new module instance; its imports are loaded once.
  void import(`${url}?turn=${turns}`)
})
