/** The store's thread: owns the connection, so that an fsync never stops the event loop that serves requests. */
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../../domain/errors.ts'
import { createLog } from '../../log.ts'
import { watchForStall } from '../../runtime/stall-watch.ts'
import { openDatabase } from './connection/database.ts'
import type { FromThread, ThreadOptions, ToThread } from './messages.ts'
import { keepOwnership } from './ownership/ownership.ts'
import { clearSearchIndex, createIndexWriter } from './search-index.ts'
import { createGroupCommit } from './writing/group-commit.ts'
import { createTransaction } from './writing/transaction.ts'

const port = parentPort
if (port === null) throw new Error('the store runs in a thread of its own')

// The engine sets it, and is of the same version.
const { path, lockWaitMs, stall, ...options } = workerData as ThreadOptions

function post(message: FromThread): void {
  port?.postMessage(message)
}

/** Ends the process without closing the database: another program has the file, and closing would write to it. */
function endProcess(what: string): never {
  const log = createLog(stall?.logLevel ?? 'fatal')
  log.fatal({ database: path }, `${what} by another program: the process ends before it does harm`)
  process.kill(process.pid, 'SIGKILL')
  throw new Error(what)
}

try {
  const { database, file, socket } = await openDatabase({
    path,
    waitMs: lockWaitMs,
    onWait: (owner) => post({ type: 'in-use', owner }),
  })
  if (options.hasSearch !== true) clearSearchIndex(database)
  const transaction = createTransaction(database, {
    ...options,
    onUnreadable: (message) => post({ type: 'unreadable', message }),
  })
  const runGroup = createGroupCommit(database, transaction)
  const checkpointPages = Number(database.prepare('PRAGMA wal_autocheckpoint').get()?.['wal_autocheckpoint'])
  const setCheckpoints = (isOn: boolean): void =>
    database.exec(`PRAGMA wal_autocheckpoint = ${isOn ? checkpointPages : 0}`)
  const ownership = keepOwnership({ file, socket, endProcess, setCheckpoints })

  /** Writes to the file only while no other program does. */
  function write<Value>(work: () => Value): Value {
    ownership.beforeGroup()
    const value = work()
    ownership.afterGroup()
    return value
  }

  const { records, payloads, searchIndex, totals, pausedTasks } = transaction
  const onFailure = (message: string): void => post({ type: 'search-failed', message })
  const indexWriter = searchIndex && createIndexWriter(database, searchIndex, { records, payloads, write, onFailure })
  indexWriter?.wake()

  const stallWatch = stall && watchForStall(stall)

  port.on('message', (message: ToThread) => {
    if (message === 'close') {
      stallWatch?.stop()
      indexWriter?.stop()
      // Closes the socket last: without it another process may open the file.
      database.close()
      ownership.end()
      post({ type: 'closed' })
      port.close()
      return
    }
    const group = write(() => runGroup(message))
    if (group.hasWritten) indexWriter?.wake()
    post({ type: 'done', ...group, backlog: totals.live() })
  })
  post({ type: 'open', backlog: totals.live(), paused: pausedTasks.all() })
} catch (error) {
  post({ type: 'refused', message: messageOf(error) })
  port.close()
}
