import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from 'forerunner'
import { z } from 'zod'

const account = z.object({ account: z.number(), email: z.string() })

/** Tried again for as long as the mail server takes to come back. */
export default defineTask({
  kind: 'io',
  maxAttempts: 10,
  async run(_input, { after, signal, runId }) {
    const { email } = account.parse(after?.[0])
    // Your mail server here. It takes the run's id as the message's, so that a repeated attempt sends no second mail.
    await sleep(100, undefined, { signal })
    return { sentTo: email, messageId: `<${runId}@example.org>` }
  },
})
