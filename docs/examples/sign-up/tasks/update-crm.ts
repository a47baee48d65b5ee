import { defineTask } from 'forerunner'
import { z } from 'zod'

const results = z.tuple([z.object({ account: z.number() }), z.object({ sentTo: z.string() })])

/** Has the results of both jobs before it. */
export default defineTask({
  kind: 'io',
  run(_input, { after }) {
    const [{ account }, { sentTo }] = results.parse(after)
    return { contact: `crm-${account}`, note: `welcomed at ${sentTo}` }
  },
})
