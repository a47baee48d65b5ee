/**
 * Shows other processes that a database file has a living owner. SQLite's own lock is not enough: it is a POSIX lock of
 * the process, and the system drops it when any code of the process closes any descriptor of the file, as a task does
 * that reads or copies the file. A listening socket next to the file cannot be opened, so no code drops it by accident. It
 * is visible wherever the directory is, also in another container, and it dies with its process.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

export interface OwnerSocket {
  /** Called with each connection after it received the owner's name; it stays open until the caller ends it. */
  onCaller(listener: (caller: Socket) => void): void
  /** `taken`: another process listens there now; `missing`: the socket was removed. */
  state(): 'ours' | 'missing' | 'taken'
  /** Stops listening; the socket of another process stays. */
  close(): void
}

/** How long to wait for the owner's name. One that accepts the connection is the owner even if it sends none. */
const replyWaitMs = 250
/** Longest path of a socket (sockaddr_un) that every platform accepts. */
const maxPathBytes = 100
const maxNameBytes = 40

/** Next to the file and, for file systems that hold no sockets, in the directory for temporary files. */
function addressesOf(file: string): readonly string[] {
  // Windows keeps a lock per handle, so its locks are not lost.
  if (process.platform === 'win32') return []
  const hash = createHash('sha256').update(file).digest('hex').slice(0, 24)
  const isShort = Buffer.byteLength(basename(file)) <= maxNameBytes
  const nextToFile = isShort ? `${file}-owner` : join(dirname(file), `${hash}-owner`)
  return [nextToFile, join(tmpdir(), `forerunner-${hash}`)]
}

/** @returns what `find` returns for the first address where that is not null */
async function firstOf<Found>(file: string, find: (address: string) => Promise<Found | null>): Promise<Found | null> {
  for (const address of addressesOf(file)) {
    const found = await find(address)
    if (found !== null) return found
  }
  return null
}

/** @returns the name of the file's owner, or null */
export function findOwner(file: string): Promise<string | null> {
  return firstOf(file, askName)
}

/**
 * Finds the process that has SQLite's lock on the file, on systems that list their locks, such as Linux.
 * @returns a phrase for people
 */
export function lockHolder(path: string): string {
  try {
    const { ino } = statSync(path)
    // "1: POSIX  ADVISORY  WRITE 4711 08:01:131085 1073741826 1073742335" (https://man7.org/linux/man-pages/man5/proc_locks.5.html)
    const lock = readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/))
      .find(([, , , , , file]) => file?.endsWith(`:${ino}`))
    const pid = Number(lock?.[4])
    // A process of another container has no number here.
    if (pid > 0) return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`
  } catch {
    // The system has no such list, or the process has ended meanwhile.
  }
  return 'another process'
}

/** @returns a connection that stays open until one side ends it; null if the file has no owner */
export function connectToOwner(file: string): Promise<Socket | null> {
  return firstOf(file, connectTo)
}

/** Removes the sockets of killed owners. Call it if `findOwner` finds none, under SQLite's lock: one process at a time. */
export function removeDeadSockets(file: string): void {
  for (const address of addressesOf(file)) removeSocket(address)
}

/**
 * @returns null if the system has no place for a socket: then SQLite's lock has to do
 * @throws Error when another process listens there
 */
export function listenAsOwner(file: string): Promise<OwnerSocket | null> {
  return firstOf(file, async (address) => {
    const server = await listen(address).catch(unlessTaken)
    return server && ownerSocket(server, address)
  })
}

function unlessTaken(error: unknown): null {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') throw error
  return null
}

function ownerSocket(server: Server, address: string): OwnerSocket {
  const own = inodeOf(address)
  let onCaller: ((caller: Socket) => void) | undefined
  server.on('connection', (caller) => onCaller?.(caller))

  function state(): 'ours' | 'missing' | 'taken' {
    const inode = inodeOf(address)
    if (inode === null) return 'missing'
    return inode === own ? 'ours' : 'taken'
  }

  return {
    onCaller: (listener) => void (onCaller = listener),
    state,
    close() {
      if (state() === 'ours') removeSocket(address)
      server.close()
    },
  }
}

/** @returns the name that the owner sends before it ends the connection; null if nobody listens */
async function askName(address: string): Promise<string | null> {
  if (inodeOf(address) === null) return null
  const { path, release } = shortPathTo(address)
  const { promise, resolve } = Promise.withResolvers<string | null>()
  const socket = connect(path)
  const timer = setTimeout(() => socket.destroy(), replyWaitMs)
  let isAlive = false
  let name = ''
  socket.setEncoding('utf8')
  socket.on('connect', () => (isAlive = true))
  socket.on('data', (text: string) => (name += text))
  // A full queue of connections also proves a living owner.
  socket.on('error', (error) => (isAlive ||= 'code' in error && error.code === 'EAGAIN'))
  socket.on('close', () => {
    clearTimeout(timer)
    release()
    resolve(isAlive ? name || 'another process' : null)
  })
  return promise
}

async function connectTo(address: string): Promise<Socket | null> {
  if (inodeOf(address) === null) return null
  const { path, release } = shortPathTo(address)
  const { promise, resolve } = Promise.withResolvers<Socket | null>()
  const socket = connect({ path, allowHalfOpen: true })
  socket.resume()
  socket.on('connect', () => resolve(socket))
  socket.on('error', () => resolve(null))
  socket.on('close', release)
  return promise
}

async function listen(address: string): Promise<Server> {
  const { path, release } = shortPathTo(address)
  // After the owner's name, the caller may send a request.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.resume()
    socket.unref()
    socket.end(`process ${process.pid} on ${hostname()}`)
  })
  // A later error, such as too many open files, must not end the process.
  server.on('error', () => {})
  try {
    // Processes of other users may connect, too.
    server.listen({ path, readableAll: true, writableAll: true })
    await once(server, 'listening')
  } finally {
    release()
  }
  return server.unref()
}

/** A path to the address that is short enough for a socket; `release` removes the link that a long address needs. */
function shortPathTo(address: string): { readonly path: string; readonly release: () => void } {
  if (Buffer.byteLength(address) <= maxPathBytes) return { path: address, release() {} }
  const directory = mkdtempSync(join(tmpdir(), 'forerunner-'))
  const link = join(directory, 'd')
  symlinkSync(dirname(address), link)
  return {
    path: join(link, basename(address)),
    release: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Identity of the socket's file; null if there is none. */
function inodeOf(path: string): number | null {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found?.isSocket() ? found.ino : null
}

function removeSocket(path: string): void {
  if (inodeOf(path) !== null) unlinkSync(path)
}
