/** What the blocks of the documentation take as given: the reader's own functions, and what a block above has made. */
import type { Express } from 'express'
import type { Forerunner } from 'forerunner'
import type { TestForerunner } from 'forerunner/testing'

declare global {
  const forerunner: Forerunner & TestForerunner
  const app: Express
  const csv: string
  function alert(runId: string): void
  function archive(run: unknown): Promise<void>
  function sendReceipt(mail: string, payment: string): Promise<void>
  function charge(order: string, options: { idempotencyKey: string; signal: AbortSignal }): Promise<{ id: string }>
}
