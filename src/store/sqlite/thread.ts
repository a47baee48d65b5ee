/** The store's thread: owns the connection, so that an fsync never stops the event loop that serves requests. */
import { parentPort, workerData } from 'node:worker_threads'
import { openDatabase } from './database.ts'
import { createChanges } from '../changes.ts'
import { createGroupCommit } from './group-commit.ts'
import { createIdempotencyKeys } from './idempotency.ts'
import { createLiveRuns } from './live-runs.ts'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'
import { createPriorities } from './priorities.ts'
import type { Session } from './session.ts'
import { watchForStall } from '../stall-watch.ts'
import { createTally } from './tally.ts'
import { createUnknownTasks } from './unknown-tasks.ts'

const port = parentPort
if (port === null) throw new Error('the store runs in a thread of its own')

const say = (message: FromThread): void => port.postMessage(message)
// Set by the engine, which is of the same version.
const { path, lockWaitMs, owner, tasks, stall } = workerData as ThreadOptions

try {
  const database = openDatabase(path, lockWaitMs)
  // Before anything reads the kinds.
  const unknownTasks = createUnknownTasks(database, tasks)
  const tally = createTally(database)
  const priorities = createPriorities(database)
  const keys = createIdempotencyKeys(database)
  const liveRuns = createLiveRuns(database)
  const session: Session = {
    database,
    tally,
    priorities,
    liveRuns,
    keys,
    unknownTasks,
    changes: createChanges(),
    owner,
  }
  const runGroup = createGroupCommit(session)

  const watch = stall && watchForStall(stall)

  port.on('message', (message: ToThread) => {
    if (message === 'close') {
      watch?.stop()
      database.close()
      say({ type: 'closed' })
      port.close()
      return
    }
    say({ type: 'done', ...runGroup(message), backlog: session.tally.live() })
  })
  say({ type: 'open', backlog: session.tally.live() })
} catch (error) {
  say({ type: 'refused', message: error instanceof Error ? error.message : String(error) })
  port.close()
}
