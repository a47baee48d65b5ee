/** Texts that are kept apart from their records: for views of a run, and results that due jobs have waited for. */
import { jobAt, type Apart, type Job } from '../../../domain/run/aggregate.ts'
import { isApart, resultPart } from '../../apart.ts'
import type { Outside, TextOf } from '../../run-record.ts'
import type { Query } from '../connection/connection.ts'
import type { Stored } from '../writing/unit-of-work.ts'
import { listSteps } from './steps.ts'

const selectTexts = {
  name: 'select-texts',
  text: `
    SELECT payload.run, payload.job, payload.part, payload.value
    FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS asked (run, job, part) JOIN payload USING (run, job, part)`,
}

/** A text that the record names is gone, because the run changed after its record was read. */
class Changed extends Error {
  override readonly name = 'Changed'
}

const maxReads = 5

/** Reads again if the run changed between the read of its record and of its texts. */
export async function steadily<Value>(read: () => Promise<Value>): Promise<Value> {
  for (let reads = 1; ; reads += 1) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof Changed) || reads === maxReads) throw error
    }
  }
}

/** Collects the texts that a view needs: the view is made once without them, then they are read together. */
export function createWanted() {
  const keys: { readonly runId: string; readonly jobIndex: number; readonly part: number }[] = []
  const stepped: number[] = []
  const nameOf = (runId: string, jobIndex: number, part: number): string => `${runId} ${jobIndex} ${part}`

  const wanted = {
    /** Returns a placeholder, an error without a message. */
    note:
      (runId: string): TextOf =>
      (jobIndex, { part }) => {
        keys.push({ runId, jobIndex, part })
        return '{"message":""}'
      },
    /** Of one run, with its steps. */
    noteAll: (runId: string): Outside => ({
      textOf: wanted.note(runId),
      stepsOf(jobIndex) {
        stepped.push(jobIndex)
        return []
      },
    }),
    async readAll(query: Query, runId: string): Promise<Outside> {
      const [texts, stepsOf] = await Promise.all([wanted.read(query), listSteps(query, runId, stepped)])
      return { textOf: texts(runId), stepsOf }
    },
    async read(query: Query): Promise<(runId: string) => TextOf> {
      const rows =
        keys.length === 0
          ? []
          : await query(selectTexts, [
              keys.map(({ runId }) => runId),
              keys.map(({ jobIndex }) => jobIndex),
              keys.map(({ part }) => part),
            ])
      const texts = new Map(
        rows.map((row) => [nameOf(String(row['run']), Number(row['job']), Number(row['part'])), String(row['value'])]),
      )
      return (runId) =>
        (jobIndex: number, { part }: Apart): string => {
          const text = texts.get(nameOf(runId, jobIndex, part))
          if (text === undefined) throw new Changed(`the text ${part} of job ${jobIndex} of the run ${runId} is gone`)
          return text
        }
    },
  }
  return wanted
}

/** null if the job has no result. */
export type ResultOf = (runId: string, job: Job, jobIndex: number) => string | null

const selectResults = {
  name: 'select-results',
  text: `
    SELECT payload.run, payload.job, payload.value
    FROM unnest($1::uuid[], $2::integer[]) AS asked (run, job)
    JOIN payload ON payload.run = asked.run AND payload.job = asked.job AND payload.part = ${resultPart}`,
}

/** @param records of the due jobs, which the transaction has locked */
export async function readResults(
  query: Query,
  due: readonly { readonly runId: string; readonly jobIndex: number }[],
  records: readonly Stored[],
): Promise<ResultOf> {
  const runs = new Map(records.map(({ run }) => [run.id, run]))
  const asked = due.flatMap(({ runId, jobIndex }) => {
    const run = runs.get(runId)
    const after = run === undefined ? [] : (jobAt(run, jobIndex).chain?.after ?? [])
    return after.flatMap((job) => (isApart(run?.jobs[job]?.result) ? [{ runId, job }] : []))
  })
  const texts = new Map<string, string>()
  if (asked.length > 0) {
    const values = [asked.map(({ runId }) => runId), asked.map(({ job }) => job)]
    for (const row of await query(selectResults, values)) {
      texts.set(`${String(row['run'])} ${String(row['job'])}`, String(row['value']))
    }
  }
  return (runId, { result }, jobIndex) => (isApart(result) ? (texts.get(`${runId} ${jobIndex}`) ?? null) : result)
}
