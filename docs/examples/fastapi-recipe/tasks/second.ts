import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from 'forerunner'

export default defineTask({
  kind: 'io',
  async run(_input, { signal }) {
    await sleep(5_000, undefined, { signal })
    return 'Second result'
  },
})
