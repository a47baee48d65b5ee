/** Reads single runs, those that one turn of the event loop asks for in one statement. */
import type { RunRecord } from '../../domain/run.ts'
import type { Query } from './connection.ts'
import { readRuns } from './read.ts'

export interface RunReads {
  read(id: string): Promise<RunRecord | null>
}

/** @param behind resolves when everything is done that was asked for before */
export function createRunReads(query: Query, behind: () => Promise<unknown>): RunReads {
  let next: { readonly ids: Set<string>; readonly found: Promise<Map<string, RunRecord>> } | null = null

  function begin() {
    const ids = new Set<string>()
    const turn = new Promise<void>((resolve) => void setImmediate(resolve))
    const found = turn
      .then(() => {
        next = null
        return behind()
      })
      .then(() => readRuns(query, [...ids]))
      .then((runs) => new Map(runs.map((run) => [run.id, run])))
    return { ids, found }
  }

  return {
    async read(id) {
      next ??= begin()
      next.ids.add(id)
      return (await next.found).get(id) ?? null
    },
  }
}
