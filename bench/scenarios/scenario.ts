/** What a scenario is given and what it gives back. */
import type { Contender } from '../contenders/contenders.ts'
import type { Cores } from '../rig/cores.ts'
import type { Generator } from '../rig/load.ts'

/** Values by name of the quantity, one a round, in order of the rounds. */
export type Figures = Readonly<Record<string, readonly number[]>>

export interface Outcome {
  readonly figures: Figures
  /** Markdown. */
  readonly text: string
}

/** What the machine has beside Node; made when first asked for. */
export interface Bench {
  /** A minute for everything, to see whether it works; its figures say little. */
  readonly isQuick: boolean
  readonly cores: Cores
  /** An empty directory, which is gone afterwards. */
  makeDirectory(): Promise<string>
  startGenerator(): Generator
  /** URL of a server with fsync. */
  postgres(): Promise<string>
  /** A contender on a server of its own; null where the machine has no Redis. */
  bullMq(): Promise<Contender | null>
  /** null where the machine has no Python with FastAPI. */
  fastApi(): Contender | null
  say(line: string): void
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** The scope is left when it ends: whatever it has started is to be ended with it. */
  run(bench: Bench, scope: AsyncDisposableStack): Promise<Outcome>
}

/** Figures under construction. */
export function collectFigures(): {
  readonly figures: Record<string, number[]>
  add(key: string, value: number): void
} {
  const figures: Record<string, number[]> = {}
  return {
    figures,
    add(key, value) {
      ;(figures[key] ??= []).push(value)
    },
  }
}

export const recipe: string = JSON.stringify({ tasks: ['first', 'second', 'third'].map((name) => ({ name })) })
