/** The original recipe's second task: waits 5 s without using a core, and stops waiting when it is asked to. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from 'forerunner'

const durationMs = 5_000

export default defineTask({
  kind: 'io',
  async run(_input, { signal }) {
    await sleep(durationMs, undefined, { signal })
    return 'Second result'
  },
})
