/** Kills processes of a cluster under load, crashes the server once, and checks that everything is right in the end. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startPostgresProxy } from '../harness/postgres-proxy.ts'
import { makeSchema, type Postgres } from '../harness/postgres.ts'
import { createRandom } from '../harness/random.ts'
import { countExecutions, stepsRunTwice } from '../process/executions.ts'
import { createInterference } from '../process/interference.ts'
import { startClients } from './clients.ts'
import { startCluster, type Cluster } from './cluster.ts'
import { createStaleWatch, judge, type Verdict } from './verdict.ts'

export interface OrdealOptions {
  readonly postgres: Postgres
  readonly kills: number
  /** Whether the server crashes once, and stays down for some seconds. */
  readonly crashesServer: boolean
  readonly seed: number
  /** Delay of all messages to the server, in milliseconds; default 0. */
  readonly delayMs?: number
  readonly say: (line: string) => void
}

export interface Result extends Verdict {
  readonly acknowledged: number
  /** Requests with a 503 or without a response. */
  readonly refused: number
  /** Jobs that changed after they were final. */
  readonly staleWrites: number
  /** Late outcomes that were refused because of their claim. */
  readonly staleRefused: number
  /** Starts without an outcome of their own. */
  readonly reruns: number
  readonly drainSeconds: number
  /** What is wrong; empty if everything is right. */
  readonly wrong: readonly string[]
}

const drainLimitMs = 90_000

export async function undergo(options: OrdealOptions): Promise<Result> {
  const { postgres, kills, crashesServer, seed, delayMs = 0, say } = options
  const random = createRandom(seed)
  await using schema = await makeSchema(postgres)
  await using proxy = delayMs === 0 ? null : await startPostgresProxy(schema.url, delayMs)
  await using cluster = await startCluster(proxy?.url ?? schema.url, schema.name)
  const interference = createInterference(createRandom(seed + 2))
  const watch = createStaleWatch(schema, interference)
  const load = startClients(cluster, createRandom(seed + 1), interference)
  const crashAt = crashesServer ? random.whole(1, kills) : 0
  for (let kill = 1; kill <= kills; kill += 1) {
    // A random moment is the purpose.
    await pause(random.whole(300, 1_500))
    if (kill === crashAt) {
      await postgres.crash()
      say('the server has crashed')
      await pause(random.whole(1_000, 3_000))
      await postgres.restart()
      say('the server is back')
    }
    await cluster.replaceOne(random)
    await watch.look()
    say(`kill ${kill} of ${kills}: ${load.acknowledged.size} runs acknowledged, ${load.refused} refused`)
  }
  await pause(random.whole(300, 1_000))
  await load.stop()
  const startedAt = performance.now()
  await drain(cluster, random)
  const drainSeconds = (performance.now() - startedAt) / 1_000
  await watch.look()

  const verdict = await judge(schema, load.acknowledged, interference, kills)
  const executions = [...countExecutions(join(cluster.home.directory, 'executions')).values()]
  const starts = executions.reduce((sum, count) => sum + count, 0)
  const lines = cluster.lines()
  const { staleWrites } = watch
  const again = stepsRunTwice(join(cluster.home.directory, 'steps'), interference.mayGoOn)
  const wrong = [
    verdict.lost > 0 && `${verdict.lost} acknowledged runs are lost`,
    verdict.unfinished > 0 && `${verdict.unfinished} runs are not final`,
    verdict.miscounted > 0 && `${verdict.miscounted} counts are not what the rows are`,
    verdict.unasked > 0 && `${verdict.unasked} jobs ended as nobody asked for`,
    again.length > 0 && `${again.length} stored steps ran again`,
    staleWrites > 0 && `${staleWrites} jobs changed after they were final`,
    load.acknowledged.size < kills && `only ${load.acknowledged.size} runs were acknowledged`,
    lines.some(({ level }) => level === 'fatal') && 'a process gave up',
  ].filter((problem) => problem !== false)
  return {
    ...verdict,
    acknowledged: load.acknowledged.size,
    refused: load.refused,
    staleWrites,
    staleRefused: lines.filter(({ msg }) => msg.startsWith('an outcome came too late')).length,
    reruns: starts - verdict.attempts,
    drainSeconds,
    wrong,
  }
}

async function drain(cluster: Cluster, random: ReturnType<typeof createRandom>): Promise<void> {
  const deadline = performance.now() + drainLimitMs
  while (performance.now() < deadline) {
    const response = await cluster
      .anyHttp(random)
      .get('/stats')
      .catch(() => null)
    const stats: unknown = response?.status === 200 ? await response.json() : null
    const live: unknown = Reflect.get(Object(Reflect.get(Object(stats), 'conservation')), 'live')
    if (live === 0) return
    await pause(100)
  }
}
