/** The inputs and outputs of a scenario. */
import type { Contender } from '../contenders/contenders.ts'
import type { Cores } from '../rig/cores.ts'
import type { Generator } from '../rig/load.ts'

/** Values by name of the quantity, one per round, in order of the rounds. */
export type Figures = Readonly<Record<string, readonly number[]>>

export interface Outcome {
  readonly figures: Figures
  /** Markdown. */
  readonly text: string
}

/** Resources of the machine besides Node, created on first use. */
export interface Bench {
  /** About a minute in total, to see whether everything works; the figures mean little. */
  readonly isQuick: boolean
  readonly cores: Cores
  /** An empty directory, which is removed afterwards. */
  makeDirectory(): Promise<string>
  startGenerator(): Generator
  /** URL of a server with fsync. */
  postgres(): Promise<string>
  /** A contender with its own server; null if the machine has no Redis. */
  bullMq(): Promise<Contender | null>
  /** null if the machine has no Python with FastAPI. */
  fastApi(): Contender | null
  say(line: string): void
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** The scope is left at the end of the scenario, and ends everything that was started in it. */
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
