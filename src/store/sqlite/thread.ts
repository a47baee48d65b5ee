/** The store's thread: owns the connection, so that an fsync never stops the event loop that serves requests. */
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../../domain/errors.ts'
import { createLog } from '../../log.ts'
import { openDatabase } from './connection/database.ts'
import { createGroupCommit } from './writing/group-commit.ts'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'
import { keepOwnership } from './ownership/ownership.ts'
import { watchForStall } from '../../runtime/stall-watch.ts'
import { clearSearchIndex, createIndexWriter } from './search-index.ts'
import { createTransaction } from './writing/transaction.ts'

const port = parentPort
if (port === null) throw new Error('the store runs in a thread of its own')

const say = (message: FromThread): void => port.postMessage(message)
// Set by the engine, which is of the same version.
const { path, lockWaitMs, tasks, stall, hasSearch } = workerData as ThreadOptions

/** Ends the process without closing the database, because closing writes to a file that belongs to another process now. */
function endProcess(what: string): never {
  const log = createLog(stall?.logLevel ?? 'fatal')
  log.fatal({ database: path }, `${what} by another program: the process ends before it does harm`)
  process.kill(process.pid, 'SIGKILL')
  throw new Error(what)
}

try {
  const onWait = (user: string): void => say({ type: 'waiting', owner: user })
  const { database, file, socket } = await openDatabase({ path, waitMs: lockWaitMs, onWait })
  if (!hasSearch) clearSearchIndex(database)
  const transaction = createTransaction(database, {
    tasks,
    hasSearch,
    onUnreadable: (text) => say({ type: 'unreadable', message: text }),
  })
  const runGroup = createGroupCommit(database, transaction)
  const checkpointPages = Number(database.prepare('PRAGMA wal_autocheckpoint').get()?.['wal_autocheckpoint'])
  const setCheckpoints = (isOn: boolean): void =>
    database.exec(`PRAGMA wal_autocheckpoint = ${isOn ? checkpointPages : 0}`)
  const ownership = keepOwnership({ file, socket, endProcess, setCheckpoints })
  const { records, payloads, searchIndex } = transaction
  const indexWriter =
    searchIndex &&
    createIndexWriter(database, searchIndex, {
      records,
      payloads,
      write(work) {
        ownership.beforeGroup()
        work()
        ownership.afterGroup()
      },
      onFailure: (text) => say({ type: 'search-failed', message: text }),
    })
  indexWriter?.wake()

  const watch = stall && watchForStall(stall)

  port.on('message', (message: ToThread) => {
    if (message === 'close') {
      watch?.stop()
      indexWriter?.stop()
      // The socket last: by then another process may open the file.
      database.close()
      ownership.end()
      say({ type: 'closed' })
      port.close()
      return
    }
    ownership.beforeGroup()
    const group = runGroup(message)
    ownership.afterGroup()
    if (group.hasWritten) indexWriter?.wake()
    say({ type: 'done', ...group, backlog: transaction.totals.live() })
  })
  say({ type: 'open', backlog: transaction.totals.live(), paused: transaction.pausedTasks.all() })
} catch (error) {
  say({ type: 'refused', message: messageOf(error) })
  port.close()
}
