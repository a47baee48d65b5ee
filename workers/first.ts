/** The original recipe's first task: waits 1 s without using a core, and stops waiting when it is asked to. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from 'forerunner'

const durationMs = 1_000

export default defineTask({
  kind: 'io',
  async run(_input, { signal }) {
    await sleep(durationMs, undefined, { signal })
    return 'First result'
  },
})
