/** SQLite does what the model of the protocol says, through the death of its process at any instant too. */
import { join } from 'node:path'
import { test } from 'uvu'
import { startStoreProcess, type StoreProcess } from '../harness/store-process.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'
import type { Verbs } from './calls.ts'
import { readVerbs, writeVerbs } from './calls.ts'
import { runModel } from './run-model.ts'
import { memberOf, type Member, type Subject } from './subject.ts'

async function openHere(): Promise<Subject> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  let opened = await openSqlite(path)
  const members = [memberOf(1, opened.store)]
  return {
    members,
    isOrdered: true,
    isShared: false,
    async replace() {
      await opened[Symbol.asyncDispose]()
      opened = await openSqlite(path)
      members.splice(0, 1, memberOf((members[0]?.id ?? 0) + 1, opened.store))
    },
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

/** In a process of its own, which is killed. */
async function openElsewhere(): Promise<Subject> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  let opened = await startStoreProcess(path)
  const members = [remoteMember(1, opened)]
  async function replace(): Promise<void> {
    await opened.kill()
    opened = await startStoreProcess(path)
    members.splice(0, 1, remoteMember((members[0]?.id ?? 0) + 1, opened))
  }
  return {
    members,
    isOrdered: true,
    isShared: false,
    replace,
    kill: replace,
    async [Symbol.asyncDispose]() {
      await opened.kill()
      directory[Symbol.dispose]()
    },
  }
}

function remoteMember(id: number, opened: StoreProcess): Member {
  // The verb and its arguments belong together; the loop over all verbs has lost that.
  const call = opened.call as (verb: string, ...args: readonly unknown[]) => Promise<unknown>
  const verbs = [...writeVerbs, ...readVerbs].map((verb) => [
    verb,
    (...args: readonly unknown[]) => call(verb, ...args),
  ])
  return { id, store: Object.fromEntries(verbs) as Verbs, heard: null, backlog: () => null, paused: () => null }
}

test('SQLite follows the model', () => runModel(openHere, { runs: 20, maxCommands: 60 }))

test('SQLite follows the model though its process is killed', () =>
  runModel(openElsewhere, { runs: 6, maxCommands: 30, kills: true }))

test.run()
