/** Several clients that post mixed runs one after the other until the service is gone, and note what they were told. */
import type { Child } from '../harness/child.ts'
import type { ProblemDocument } from '../../src/http/problem.ts'
import type { RunView } from '../../src/http/views/run.ts'
import type { Random } from '../harness/random.ts'
import type { Interference } from './interference.ts'

export interface Reply {
  readonly runId: string
  readonly status: number
  /** JSON text; undefined unless the status is 200. */
  readonly result: string | undefined
}

const clients = 6

/**
 * Resolves to every reply that named a run, when no client gets through any more.
 * @param killed aborted when the service is to be killed; until then every request is to be answered
 * @param onReply called for each reply that named a run
 */
export async function loadUntilGone(
  child: Child,
  random: Random,
  interference: Interference,
  killed: AbortSignal,
  onReply: () => void,
): Promise<Reply[]> {
  const replies: Reply[] = []

  async function client(): Promise<void> {
    for (;;) {
      const reply = await postOne(child, random).catch((error: unknown) => {
        if (!killed.aborted) throw error
      })
      if (reply === undefined) return
      replies.push(reply)
      onReply()
      await interference.disturb((path) => child.post(path), reply.runId)
    }
  }

  await Promise.all(Array.from({ length: clients }, client))
  return replies
}

async function postOne(child: Child, random: Random): Promise<Reply> {
  const response = await child.post('/run-tasks', { tasks: chained(mixedTasks(random), random) })
  const body: unknown = await response.json()
  const { status } = response
  if (status === 200) {
    const { id, result } = body as RunView
    return { runId: id, status, result: JSON.stringify(result) }
  }
  const { runId, detail } = body as ProblemDocument
  if (runId === undefined) throw new Error(`a run was refused with ${status}: ${detail}`)
  return { runId, status, result: undefined }
}

export function mixedTasks(random: Random): object[] {
  // The first one has one attempt: a failure of it is a 500 that names the run.
  const first = task(random, { ms: random.whole(0, 20), failures: random.chance(0.1) ? 1 : 0, isCpu: false })
  const others = Array.from({ length: random.whole(1, 4) }, () => {
    const isCpu = random.chance(0.5)
    const failures = random.chance(0.15) ? random.whole(1, 2) : 0
    const one = task(random, { ms: isCpu ? random.whole(0, 3) : random.whole(0, 150), failures, isCpu })
    return !isCpu && random.chance(0.3) ? { ...one, name: 'ten-steps' } : one
  })
  return [first, ...others]
}

/** Some of them wait for an earlier one. */
function chained(tasks: readonly object[], random: Random): object[] {
  return tasks.map((one, index) =>
    index > 0 && random.chance(0.3) ? { ...one, after: [random.whole(0, index - 1)] } : one,
  )
}

function task(random: Random, { ms, failures, isCpu }: { ms: number; failures: number; isCpu: boolean }): object {
  const input = { ms, failures, value: random.whole(0, 1_000_000) }
  const isFinal = failures === 2
  return { name: isCpu ? 'mark-cpu' : 'mark-io', input, ...(isFinal && { maxAttempts: 2 }) }
}
