/** A page token is the id of the last run on the page before, opaque to callers. */
import { AppError } from '../domain/errors.ts'
import { isRunId } from '../domain/ids.ts'

export function pageTokenOf(runId: string): string {
  return Buffer.from(runId).toString('base64url')
}

/** @returns the run's id. @throws AppError `invalid-page-token` for every text that `pageTokenOf` does not make */
export function parsePageToken(token: string): string {
  const id = Buffer.from(token, 'base64url').toString()
  // Decoding passes over what it does not know, so other texts would give the same id.
  if (isRunId(id) && pageTokenOf(id) === token) return id
  throw new AppError('invalid-page-token', 'the pageToken is none that this service has made')
}
