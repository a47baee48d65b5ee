/** Steps of a task that is run once in a test: kept in memory, beside those that the test says were stored before. */
import type { StepFunction } from '../domain/task.ts'
import { createStep } from '../execution/step.ts'

export interface TrialSteps {
  readonly step: StepFunction
  /** Of all stored steps, by name. */
  values(): Readonly<Record<string, unknown>>
}

export function createTrialSteps(before: Readonly<Record<string, unknown>> = {}): TrialSteps {
  const texts = new Map(Object.entries(before).map(([name, value]) => [name, JSON.stringify(value ?? null)]))
  const step = createStep({
    stored: texts.size,
    steps: {
      async keep({ name, value }) {
        texts.set(name, value)
        return 'kept'
      },
      stored: async () => ({ steps: [...texts].map(([name, value]) => ({ name, value })), next: null }),
    },
    isOver: () => false,
  })
  return {
    step,
    values: () => Object.fromEntries([...texts].map(([name, text]) => [name, JSON.parse(text) as unknown])),
  }
}
