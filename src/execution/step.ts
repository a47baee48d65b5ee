/**
 * `context.step` of one attempt, wherever it runs: what was stored by earlier attempts is read page by page, when the
 * first step is asked for, so that a job with many large values has a few of them in memory.
 */
import { isWellFormed, parse } from '../runtime/primordials.ts'
import { maxStepBytes, maxStepNameLength, maxSteps, type AttemptSteps } from '../domain/claim.ts'
import type { StepFunction } from '../domain/task.ts'
import { encodeResult } from './result.ts'

export interface StepOptions {
  /** How many are stored. */
  readonly stored: number
  readonly steps: AttemptSteps
  /** Whether the attempt is over. */
  isOver(): boolean
}

const createObject = Object.create

const nameRule = `its name must be a text of 1 to ${maxStepNameLength} characters, well-formed and without NUL`

/** Another attempt would come to the same. */
class StepError extends Error {
  override readonly name = 'StepError'
  readonly retryable = false
}

const stepError = (name: string, problem: string): StepError => new StepError(`step "${name}": ${problem}`)

export function createStep({ stored, steps, isOver }: StepOptions): StepFunction {
  const used = createObject(null) as Record<string, true>
  /** Values that were read and not asked for, by name. */
  const found = createObject(null) as Record<string, string>
  /** Place of the next page; null: all were read. */
  let next: number | null = stored === 0 ? null : 0
  let reading: Promise<void> | null = null
  /** Stored, or on their way there. */
  let count = stored

  async function readPage(name: string, from: number): Promise<void> {
    try {
      const page = await steps.stored(from)
      if (page === null) throw isLost(name)
      for (let index = 0; index < page.steps.length; index += 1) {
        const step = page.steps[index]
        if (step !== undefined) found[step.name] = step.value
      }
      next = page.next
    } finally {
      reading = null
    }
  }

  async function findStored(name: string): Promise<string | undefined> {
    while (found[name] === undefined && next !== null) await (reading ??= readPage(name, next))
    const value = found[name]
    delete found[name]
    return value
  }

  async function run(name: string, work: () => unknown): Promise<string> {
    if (count >= maxSteps) throw stepError(name, `a job can have ${maxSteps} steps at most`)
    count += 1
    try {
      const encoded = encodeResult(await work(), maxStepBytes)
      if (!encoded.ok) throw stepError(name, `its value ${encoded.problem}`)
      if (isOver()) throw stepError(name, 'it was not stored, for its attempt is over')
      const report = await steps.keep({ name, value: encoded.text })
      if (report === 'stale') throw isLost(name)
      if (report === 'full') throw stepError(name, `it was not stored, for a job can have ${maxSteps} steps at most`)
      return encoded.text
    } catch (error) {
      count -= 1
      throw error
    }
  }

  const step = async (name: unknown, work: unknown): Promise<unknown> => {
    if (!isName(name)) throw new StepError(`step: ${nameRule}`)
    if (typeof work !== 'function') throw stepError(name, 'its work must be a function')
    if (isOver()) throw stepError(name, 'its attempt is over')
    if (used[name] === true) throw stepError(name, 'the name was used before in this attempt')
    used[name] = true
    return parse((await findStored(name)) ?? (await run(name, work as () => unknown)))
  }
  // Its value has been JSON.
  return step as StepFunction
}

function isLost(name: string): StepError {
  return stepError(name, 'its attempt has lost the job, which was cancelled or is run by another attempt')
}

function isName(name: unknown): name is string {
  if (typeof name !== 'string' || name.length === 0 || name.length > maxStepNameLength) return false
  for (let index = 0; index < name.length; index += 1) if (name[index] === '\0') return false
  return isWellFormed(name)
}
