/** The entry of the load watch's thread, which nearly always ends before it loads the watch itself. */
import { workerData } from 'node:worker_threads'
import type { StallOptions } from './stall-watch.ts'

const options = workerData as StallOptions
const quietShare = 0.1

setTimeout(() => void watch(), options.stallMs * quietShare)

async function watch(): Promise<void> {
  const { watchForStall } = await import('./stall-watch.ts')
  watchForStall(options)
}
