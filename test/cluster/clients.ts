/** Clients that each post one run after another to a cluster, and record the acknowledged runs. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../harness/random.ts'
import type { Interference } from '../process/interference.ts'
import { mixedTasks } from '../process/load.ts'
import type { Cluster } from './cluster.ts'

export interface Load {
  /** Ids of acknowledged runs, whatever their answer. */
  readonly acknowledged: ReadonlySet<string>
  /** Requests with a 503 or without a response. */
  readonly refused: number
  /** Resolves when the last request is over. */
  stop(): Promise<void>
}

const clients = 6
/** Keeps the cluster busy, but not overloaded. */
const maxRuns = 20_000
const pauseMs = 20

export function startClients(cluster: Cluster, random: Random, interference: Interference): Load {
  const acknowledged = new Set<string>()
  let refused = 0
  let asked = 0
  let isStopped = false

  async function client(): Promise<void> {
    while (!isStopped && asked < maxRuns) {
      asked += 1
      const id = await postOne(cluster, random)
      if (id === undefined) refused += 1
      else {
        acknowledged.add(id)
        await interference.disturb((path) => cluster.anyHttp(random).post(path), id)
      }
      await pause(pauseMs)
    }
  }
  const running = Array.from({ length: clients }, client)

  return {
    acknowledged,
    get refused() {
      return refused
    },
    async stop() {
      isStopped = true
      await Promise.all(running)
    },
  }
}

/** @returns the id of the run, whatever its outcome; undefined if the client cannot know */
async function postOne(cluster: Cluster, random: Random): Promise<string | undefined> {
  const { url } = cluster.anyHttp(random)
  try {
    const response = await fetch(`${url}/run-tasks`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ tasks: mixedTasks(random), respond: random.chance(0.2) ? 'none' : 'first' }),
    })
    const body: unknown = await response.json()
    const id: unknown = Reflect.get(Object(body), 'id') ?? Reflect.get(Object(body), 'runId')
    return typeof id === 'string' ? id : undefined
  } catch {
    // The process was killed during the request.
    return undefined
  }
}
