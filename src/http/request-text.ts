/** Requests that did not come as a body: the same checks as of a body's bytes. */
import type { RunRequest } from '../domain/run/new-run.ts'
import type { InboxReaderOptions } from '../intake/inbox.ts'
import { parseBody } from './body/parse-body.ts'
import { valueOf } from './body/read-body.ts'
import { parseRunRequest, partsOfRequest } from './run-request.ts'

export interface RequestTextOptions {
  readonly maxBodyBytes: number
  readonly maxTasksPerRun: number
}

export function createRequestTexts(options: RequestTextOptions): Pick<InboxReaderOptions, 'parse' | 'partsOf'> {
  const { maxBodyBytes, maxTasksPerRun } = options

  function parse(text: string): RunRequest {
    const parsed = parseBody({ bytes: Buffer.from(text), coding: null }, maxBodyBytes)
    return parseRunRequest(valueOf(parsed, maxBodyBytes), maxTasksPerRun)
  }

  return { parse, partsOf: (text) => partsOfRequest(JSON.parse(text)) }
}
