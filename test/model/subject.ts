/** What the model is held against: the processes that share one store. */
import type { RunChange } from '../../src/domain/run.ts'
import type { Store } from '../../src/store/store.ts'
import type { Verbs } from './calls.ts'

export interface Member {
  /** Names the process; one that takes its place has another. */
  readonly id: number
  readonly store: Verbs
  /** The changes of each run that it was notified of; null where it cannot be asked. */
  readonly heard: ReadonlyMap<string, readonly RunChange[]> | null
  /** Null where they cannot be asked. */
  backlog(): number | null
  paused(): ReadonlySet<string> | null
}

export interface Subject extends AsyncDisposable {
  /** Those that are alive. */
  readonly members: readonly Member[]
  /** Whether what is asked first is done first. */
  readonly isOrdered: boolean
  /** Whether several connections write, so that a claim may leave what others have locked, and notices come later. */
  readonly isShared: boolean
  /** Ends a process with nothing settled or handed back, and starts another in its place. */
  replace(place: number): Promise<void>
  /** Ends a process at any instant, whatever is under way; undefined where that is not tried. */
  kill?(): Promise<void>
  /** Others take a process for dead, and it does not know; undefined where that cannot be. */
  depose?(place: number): Promise<Deposed>
}

/** A process that is taken for dead, and goes on. */
export interface Deposed {
  readonly store: Verbs
  end(): Promise<void>
}

/** A member that is in this process. */
export function memberOf(id: number, store: Store): Member {
  const heard = new Map<string, RunChange[]>()
  store.onChange((change) => void heard.set(change.runId, [...(heard.get(change.runId) ?? []), change]))
  return { id, store, heard, backlog: () => store.backlog(), paused: () => store.pausedTasks() }
}
