/** Assigns cores: one to the load generator, the others to the servers, if there are enough. */
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

export interface Cores {
  /** Command that starts the load generator; empty if nothing is pinned. */
  readonly generatorPrefix: readonly string[]
  /** How many cores the servers may use. */
  readonly forServers: number
  /** Description for the reader of the figures. */
  readonly text: string
}

export interface CorePlan {
  readonly generator: number | null
  /** null: any core. */
  readonly servers: readonly number[] | null
}

const fewestToDivide = 3

/**
 * With one or two cores, a server on the generator's other core could not show that it uses several. Then the
 * generator is pinned to one core, and the servers may use all, including that one.
 * @param allowed numbers of the cores that may be used; empty if cores cannot be chosen
 */
export function planCores(allowed: readonly number[]): CorePlan {
  const [generator, ...servers] = allowed
  if (generator === undefined) return { generator: null, servers: null }
  return { generator, servers: allowed.length >= fewestToDivide ? servers : null }
}

/** Pins this process, and with it every server that it starts from now on. */
export function pinCores(): Cores {
  const allowed = allowedCores()
  const { generator, servers } = planCores(allowed)
  const all = availableParallelism()
  if (generator === null) {
    return { generatorPrefix: [], forServers: all, text: `no taskset: generator and servers share ${all} cores` }
  }
  const generatorPrefix = ['taskset', '-c', String(generator)]
  if (servers === null) {
    const text = `load generator on core ${generator}, servers on all ${all}, that one included (taskset)`
    return { generatorPrefix, forServers: all, text }
  }
  taskset('-a', '-p', '-c', servers.join(','), String(process.pid))
  const text = `load generator alone on core ${generator}, servers on cores ${servers.join(', ')} (taskset)`
  return { generatorPrefix, forServers: servers.length, text }
}

function allowedCores(): number[] {
  const list = /: (?<list>[\d,-]+)\s*$/.exec(taskset('-p', '-c', String(process.pid)))?.groups?.['list']
  if (list === undefined) return []
  return list.split(',').flatMap((part) => {
    const [first = Number.NaN, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

/** @returns the output; empty if the command does not exist */
function taskset(...args: readonly string[]): string {
  return spawnSync('taskset', args, { encoding: 'utf8' }).stdout ?? ''
}
