/** What is no part of a group: reads, and forgetting. Each runs behind everything that was asked for before it. */
import type { RunRecord } from '../../domain/run.ts'
import type { Query } from './connection.ts'
import { appErrorOf } from './failure.ts'
import type { Lane } from './lane.ts'
import type { Reader } from './reader.ts'
import { createRunReads } from './run-reads.ts'

export interface Beside {
  /** @throws AppError */
  read<Value>(work: (query: Query) => Promise<Value>): Promise<Value>
  readRun(id: string): Promise<RunRecord | null>
  /** Reads that are asked for later run behind it. @throws AppError */
  write<Value>(work: (reader: Reader) => Promise<Value>): Promise<Value>
  /** Resolves when nothing is under way. */
  ended(): Promise<void>
}

export function createBeside(lanes: readonly Pick<Lane<never>, 'settled'>[], reader: Reader): Beside {
  const working = new Set<Promise<unknown>>()
  const writing = new Set<Promise<unknown>>()
  const behind = (): Promise<unknown> => Promise.allSettled([...lanes.map((lane) => lane.settled()), ...writing])
  const runReads = createRunReads(reader.query, behind)

  async function track<Value>(work: Promise<Value>, among: Set<Promise<unknown>>): Promise<Value> {
    among.add(work)
    try {
      return await work
    } catch (error) {
      throw appErrorOf(error, 'a read')
    } finally {
      among.delete(work)
    }
  }

  return {
    read: (work) =>
      track(
        behind().then(() => work(reader.query)),
        working,
      ),
    readRun: (id) => track(runReads.read(id), working),
    write(work) {
      const written = behind().then(() => work(reader))
      return track(track(written, writing), working)
    },
    async ended() {
      await Promise.allSettled(working)
    },
  }
}
