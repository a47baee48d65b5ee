/** Adds up the orders of a file, every night at three in Berlin. A report that failed is tried again, up to five times. */
import { readFile } from 'node:fs/promises'
import { defineTask } from 'forerunner'
import { z } from 'zod'

const orders = new URL('./orders.csv', import.meta.url)

export default defineTask({
  kind: 'io',
  maxAttempts: 5,
  input: z.object({ currency: z.string() }),
  schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin', input: { currency: 'EUR' } },
  async run({ currency }) {
    const lines = (await readFile(orders, 'utf8')).trim().split('\n').slice(1)
    const amounts = lines.map((line) => line.split(',')).filter(([, , code]) => code === currency)
    return { orders: amounts.length, total: amounts.reduce((sum, [, amount]) => sum + Number(amount), 0), currency }
  },
})
