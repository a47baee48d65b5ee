import { defineTask } from 'forerunner'
import { z } from 'zod'

/** What the person waits for: quick, and on the main thread. */
export default defineTask({
  input: z.object({ email: z.email() }),
  kind: 'io',
  run: ({ email }) => ({ account: 7, email }),
})
