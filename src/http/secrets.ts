/** Hides what tasks mark as secret from callers whose key can only read. */
import type { Context } from 'koa'
import type { JobRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import { maskText } from '../runtime/secret.ts'

/** Requests of read-only keys; not a member of the context, which an app around may have filled. */
const readers = new WeakSet<object>()
const shownRuns = new WeakMap<RunRecord, RunRecord>()

export function noteReader({ req }: Context): void {
  readers.add(req)
}

export function hidesSecrets({ req }: Context): boolean {
  return readers.has(req)
}

/** The same object for the same run, so that an event of it is written once. */
export function withoutSecrets(run: RunRecord): RunRecord {
  if (!run.jobs.some(({ secret }) => secret !== undefined)) return run
  const shown = shownRuns.get(run) ?? { ...run, jobs: run.jobs.map(jobWithoutSecrets) }
  shownRuns.set(run, shown)
  return shown
}

export function jobWithoutSecrets(job: JobRecord): JobRecord {
  const { result, secret } = job
  return secret === undefined || result === null ? job : { ...job, result: maskText(result, secret, 'result') }
}
