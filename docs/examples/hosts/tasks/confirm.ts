import { defineTask } from 'forerunner'
import { z } from 'zod'

export default defineTask({
  name: 'confirm',
  input: z.object({ order: z.string() }),
  kind: 'io',
  run: ({ order }, { runId }) => ({ sent: order, key: runId }),
})
