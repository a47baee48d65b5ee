/** What the documentation's blocks presuppose: the reader's own functions, and results of earlier blocks. */
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
