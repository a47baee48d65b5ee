/** Reads the lines that the tasks of `fixtures/process-tasks` leave behind: one per execution. */
import { existsSync, readFileSync } from 'node:fs'

export interface Execution {
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
  readonly thread: string
}

export function readExecutions(path: string): Execution[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const [runId = '', jobIndex, attempt, thread = ''] = line.split(' ')
    return { runId, jobIndex: Number(jobIndex), attempt: Number(attempt), thread }
  })
}

/** How often each job was executed, by `jobKey`. */
export function countExecutions(path: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const execution of readExecutions(path)) {
    const key = jobKey(execution)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** Steps that ran after they had been stored, of jobs of which no retry was requested. */
export function stepsRunTwice(path: string, mayGoOn: (job: string) => boolean): string[] {
  const stored = new Set<string>()
  const again: string[] = []
  for (const line of existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []) {
    const [runId = '', jobIndex, place, what] = line.split(' ')
    const job = jobKey({ runId, jobIndex: Number(jobIndex) })
    if (what === 'stored') stored.add(`${job} ${place}`)
    else if (stored.has(`${job} ${place}`) && !mayGoOn(job)) again.push(line)
  }
  return again
}

export function jobKey({ runId, jobIndex }: { readonly runId: string; readonly jobIndex: number }): string {
  return `${runId}/${jobIndex}`
}
