/** What a task tells of its progress, whatever it is: telling it must not fail the task. */
import type { Progress } from '../domain/job.ts'
import { toNumber, toText } from '../domain/primordials.ts'

const { NaN: notANumber } = Number

/** @returns a fraction from 0 to 1, NaN for what is no number, and a text that is empty for what is none */
export function readProgress(fraction: unknown, message: unknown): Progress {
  const part = typeof fraction === 'number' || typeof fraction === 'string' ? toNumber(fraction) : notANumber
  const isText = typeof message === 'string' || typeof message === 'number' || typeof message === 'boolean'
  return { fraction: part > 1 ? 1 : part < 0 ? 0 : part, message: isText ? toText(message) : '' }
}
