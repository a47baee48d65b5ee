/** What only a client over HTTP has: a key that it shows. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../src/client/client.ts'
import { rejects } from '../harness/rejects.ts'
import { startService } from '../harness/service.ts'

test('shows its key', async () => {
  await using service = await startService({ apiKeys: ['secret'] })
  const { url: baseUrl } = service
  assert.is((await createClient({ baseUrl, apiKey: 'secret' }).stats()).backlog, 0)
  await rejects(createClient({ baseUrl }).stats(), 'unauthorized')
})

test.run()
