/** The text of notifications between processes: what a commit changed, progress of jobs, and the greeting of a new process. */
import type { Claim, JobProgress } from '../../../domain/claim.ts'
import { runStates, type RunChange } from '../../../domain/run.ts'

export type Notification =
  | {
      readonly type: 'commit'
      /** Number of the process. */
      readonly from: number
      /** Number of the writer that committed, and its share of the backlog. */
      readonly writer: number
      readonly share: number
      /** Whether there are jobs to claim, or will be soon. */
      readonly hasWork: boolean
      /** Each with an empty list of void claims; these are in `voided`. */
      readonly changes: readonly RunChange[]
      /** Claims of running jobs that were cancelled. */
      readonly voided: readonly Claim[]
    }
  /** A task was paused or resumed. */
  | { readonly type: 'pauses'; readonly from: number }
  /** A greeting: the sender has started, and listens. */
  | { readonly type: 'hello'; readonly from: number }
  | { readonly type: 'progress'; readonly from: number; readonly progress: readonly JobProgress[] }

/** A change; each void claim is two numbers: the index of its job, and its own number. */
type ChangeEntry = readonly [
  runId: string,
  version: number,
  state: number,
  isAnswered: 0 | 1,
  voided: readonly number[],
]
type ProgressEntry = readonly [runId: string, jobIndex: number, fraction: number, message: string]

/** PostgreSQL's limit is 8000 bytes (https://www.postgresql.org/docs/current/sql-notify.html). */
const maxBytes = 7_900
/** Void claims in one entry. */
const maxClaims = 300

export const notify = {
  name: 'notify',
  text: 'SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message',
}

/** Encodes a notification as one text, or as several if it is too long for one. */
export function encodeNotification(notice: Notification): string[] {
  if (notice.type === 'hello' || notice.type === 'pauses') return [`${notice.from} ${notice.type} []`]
  if (notice.type === 'progress') {
    const entries = notice.progress.map(({ runId, jobIndex, fraction, message }): ProgressEntry => {
      return [runId, jobIndex, fraction, message]
    })
    return pack(`${notice.from} progress`, entries)
  }
  const { from, writer, share, hasWork, changes, voided } = notice
  const claims = Map.groupBy(voided, ({ runId }) => runId)
  const entries = changes.flatMap((change) => entriesOf(change, claims.get(change.runId) ?? []))
  return pack(`${from} commit ${writer} ${share} ${Number(hasWork)}`, entries)
}

function entriesOf({ runId, version, state, isAnswered }: RunChange, claims: readonly Claim[]): ChangeEntry[] {
  const count = Math.max(1, Math.ceil(claims.length / maxClaims))
  return Array.from({ length: count }, (_, part): ChangeEntry => {
    const some = claims.slice(part * maxClaims, (part + 1) * maxClaims)
    const voided = some.flatMap(({ jobIndex, claim }) => [jobIndex, claim])
    return [runId, version, runStates.indexOf(state), isAnswered ? 1 : 0, voided]
  })
}

/** Makes texts of the head and as many entries as fit; at least one text. */
function pack(head: string, entries: readonly (ChangeEntry | ProgressEntry)[]): string[] {
  const headBytes = head.length + ' []'.length
  const packs: string[][] = [[]]
  let bytes = headBytes
  for (const entry of entries) {
    const text = JSON.stringify(entry)
    const more = Buffer.byteLength(text) + 1
    if (bytes + more > maxBytes && bytes > headBytes) {
      packs.push([])
      bytes = headBytes
    }
    packs.at(-1)?.push(text)
    bytes += more
  }
  return packs.map((texts) => `${head} [${texts.join(',')}]`)
}

const pattern =
  /^(?<from>\d+) (?:(?<type>hello|pauses|progress)|commit (?<writer>\d+) (?<share>-?\d+) (?<work>[01])) (?<entries>\[.*\])$/s

/** Returns null for texts of another form, and for notifications of this process. @param own number of this process */
export function decodeNotification(text: string, own: number): Notification | null {
  const found = pattern.exec(text)?.groups
  if (found === undefined) return null
  const from = Number(found['from'])
  if (from === own) return null
  // Only `encodeNotification` writes them.
  const all = JSON.parse(found['entries'] ?? '[]') as unknown
  const type = found['type']
  if (type === 'hello' || type === 'pauses') return { type, from }
  if (type === 'progress') return { type, from, progress: (all as ProgressEntry[]).map(progressOf) }
  const changes = all as ChangeEntry[]
  return {
    type: 'commit',
    from,
    writer: Number(found['writer']),
    share: Number(found['share']),
    hasWork: found['work'] === '1',
    changes: changes.map(changeOf),
    voided: changes.flatMap(claimsOf),
  }
}

function changeOf([runId, version, state, isAnswered]: ChangeEntry): RunChange {
  return { runId, version, state: runStates[state] ?? 'running', isAnswered: isAnswered === 1, voided: [] }
}

function claimsOf([runId, , , , voided]: ChangeEntry): Claim[] {
  return Array.from({ length: voided.length / 2 }, (_, index) => {
    return { runId, jobIndex: voided[index * 2] ?? 0, claim: voided[index * 2 + 1] ?? 0 }
  })
}

function progressOf([runId, jobIndex, fraction, message]: ProgressEntry): JobProgress {
  return { runId, jobIndex, fraction, message }
}
