/**
 * A payment in steps: what was done before a failure is not done again.
 * `node docs/examples/payment/payment.ts`
 */
import { createForerunner } from 'forerunner'

await using forerunner = createForerunner({
  tasks: { pay: new URL('./tasks/pay.ts', import.meta.url) },
  databaseUrl: 'sqlite::memory:',
  logLevel: 'error',
})
await forerunner.start()

const input = { id: 'order-42', amount: 19.9, mail: 'ada@example.com' }
// The first job of a run has one attempt unless its request says otherwise.
const { id } = await forerunner.enqueue([{ name: 'pay', input, maxAttempts: 3 }])
const { jobs } = await forerunner.waitForRun(id)
const [pay] = jobs
console.log(pay?.failures?.map(({ error }) => error.message).join(), '→', JSON.stringify(pay?.result))
console.log(pay?.steps?.map(({ name }) => name).join(', '))
