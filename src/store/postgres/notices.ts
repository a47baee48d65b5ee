/** What processes tell each other with a commit: which runs have changed, and that there are jobs to claim. */
import { runStates, type RunChange } from '../../domain/run.ts'

export interface Notice {
  readonly from: string
  /** How many jobs that are not final the sender has added to the whole so far; less than 0 when it ended others'. */
  readonly live: number
  readonly hasWork: boolean
  readonly changes: readonly RunChange[]
}

/** PostgreSQL takes payloads below 8000 bytes (https://www.postgresql.org/docs/current/sql-notify.html). */
const maxLength = 7_900

/** Of one run in one entry; they take at most six characters each. */
const maxVoided = 1_000

type Entry = readonly [runId: string, version: number, state: number, isAnswered: 0 | 1, voided: readonly number[]]

/** As many texts as it takes; all of them in ASCII, so that their length is their size. */
export function encodeNotice({ from, live, hasWork, changes }: Notice): string[] {
  const head = `${from} ${live} ${Number(hasWork)} `
  const texts: string[] = []
  let entries: string[] = []
  let length = head.length + 2
  for (const { runId, version, state, isAnswered, voided } of changes.flatMap(inParts)) {
    const entry: Entry = [runId, version, runStates.indexOf(state), isAnswered ? 1 : 0, voided]
    const text = JSON.stringify(entry)
    if (length + text.length + 1 > maxLength && entries.length > 0) {
      texts.push(`${head}[${entries.join(',')}]`)
      entries = []
      length = head.length + 2
    }
    entries.push(text)
    length += text.length + 1
  }
  return [...texts, `${head}[${entries.join(',')}]`]
}

function inParts(change: RunChange): RunChange[] {
  if (change.voided.length <= maxVoided) return [change]
  const parts = Math.ceil(change.voided.length / maxVoided)
  return Array.from({ length: parts }, (_, part) => {
    return { ...change, voided: change.voided.slice(part * maxVoided, (part + 1) * maxVoided) }
  })
}

/** @param own notices from there are passed over; null for them, and for what is none */
export function decodeNotice(text: string, own: string): Notice | null {
  if (text.startsWith(`${own} `)) return null
  const match = /^(?<from>\S+) (?<live>-?\d+) (?<work>[01]) (?<changes>\[.*\])$/.exec(text)
  const { from = '', live, work, changes = '' } = match?.groups ?? {}
  if (match === null) return null
  // Only this file writes them.
  const entries = JSON.parse(changes) as readonly Entry[]
  return {
    from,
    live: Number(live),
    hasWork: work === '1',
    changes: entries.map(([runId, version, state, isAnswered, voided]) => {
      return { runId, version, state: runStates[state] ?? 'running', isAnswered: isAnswered === 1, voided }
    }),
  }
}
