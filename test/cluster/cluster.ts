/** Four processes of one service on one database; one at a time can be killed and restarted. */
import { makeHome, type Child, type Home, type LogLine } from '../harness/child.ts'
import type { Random } from '../harness/random.ts'

export interface Cluster extends AsyncDisposable {
  readonly home: Home
  /** Any process that handles requests. */
  anyHttp(random: Random): Child
  /** Kills one of the four; resolves when a new one has replaced it. */
  replaceOne(random: Random): Promise<void>
  /** Log lines of all processes, including the killed ones. */
  lines(): LogLine[]
}

const roles = ['http', 'http', 'worker', 'worker'] as const

export async function startCluster(databaseUrl: string, databaseSchema: string): Promise<Cluster> {
  const settings = { DATABASE_URL: databaseUrl, DATABASE_SCHEMA: databaseSchema, THREADS: '1', LOG_LEVEL: 'info' }
  const home = await makeHome(settings)
  // At the same time: one of them creates the tables.
  const members = await Promise.all(roles.map((role) => home.start({ ROLE: role })))
  const started = [...members]

  return {
    home,
    anyHttp(random) {
      const member = members[random.whole(0, roles.lastIndexOf('http'))]
      if (member === undefined) throw new Error('there is no process that answers')
      return member
    },
    async replaceOne(random) {
      const place = random.whole(0, members.length - 1)
      await members[place]?.kill('SIGKILL')
      const successor = await home.start({ ROLE: roles[place] ?? 'worker' })
      members[place] = successor
      started.push(successor)
    },
    lines: () => started.flatMap(({ lines }) => lines),
    [Symbol.asyncDispose]: () => home[Symbol.asyncDispose](),
  }
}
