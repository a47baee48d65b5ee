/** Charges a card, books the payment and sends a receipt: each once, though the mail server is away at first. */
import { defineTask } from 'forerunner'

interface Order {
  readonly id: string
  readonly amount: number
  readonly mail: string
}

export default defineTask({
  kind: 'io',
  async run(order: Order, { step, attempt }) {
    // The order's id lets the bank know the same charge again, should the process die while the step is under way.
    const payment = await step('charge', () => chargeCard(order.amount, { idempotencyKey: order.id }))
    await step('book', () => book(order.id, payment.id))
    await step('receipt', () => sendReceipt(order.mail, payment.id, attempt))
    return { payment: payment.id, attempts: attempt }
  },
})

async function chargeCard(amount: number, { idempotencyKey }: { idempotencyKey: string }): Promise<{ id: string }> {
  console.log(`charge ${amount}`)
  return { id: `payment-of-${idempotencyKey}` }
}

async function book(order: string, payment: string): Promise<void> {
  console.log(`book ${payment} to ${order}`)
}

async function sendReceipt(mail: string, payment: string, attempt: number): Promise<void> {
  if (attempt === 1) throw new Error('the mail server does not answer')
  console.log(`mail ${payment} to ${mail}`)
}
