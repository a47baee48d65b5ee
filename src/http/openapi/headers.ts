/** Headers that requests and answers can have. */
import { z } from 'zod'

interface Header {
  readonly description: string
  readonly example: string
  readonly schema: z.ZodType
}

const header = (description: string, example: string, schema: z.ZodType = z.string()): Header => ({
  description,
  example,
  schema,
})

const run = '/runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7'
const addressOfRun = z.string().regex(/\/runs\//)
const address = z.string().regex(/\/(?:runs|schedules)\//)

export const requestHeaders = {
  Prefer: header(
    'RFC 7240. `respond-async`: answer 202 at once; `wait=N`: wait at most N seconds, up to 60, then 202, or 304 for a run that has not changed; `return=minimal`: a short body. What is unknown is ignored.',
    'wait=10',
  ),
  'Idempotency-Key': header(
    'A request that is sent again with the same key and body makes no second run; bare or as a quoted string, of 1 to 255 characters.',
    '"b9e8c2a4-1f0d-4c53-9a52-6f0a1f7f3d11"',
  ),
  traceparent: header(
    'W3C Trace Context: the span that asks for the run. Its attempts belong to that trace.',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ),
  'If-None-Match': header('An `ETag` from before: 304 while it still holds.', 'W/"4"'),
  'Last-Event-ID': header(
    'The last `id` that was received, to go on after a cut; the final one is answered with 204.',
    '4',
  ),
} satisfies Record<string, Header>

export const responseHeaders = {
  'Accept-Encoding': header('The codings that a body may have.', 'gzip, identity'),
  Allow: header('The methods of this path.', 'GET, HEAD, OPTIONS'),
  'Cache-Control': header('RFC 9111.', 'no-store'),
  'Content-Location': header('Where the run can be read.', run, addressOfRun),
  ETag: header('RFC 9110; of a run, its version.', 'W/"4"', z.string().regex(/^(?:W\/)?".*"$/)),
  'Idempotency-Replayed': header(
    'The run was made by an earlier request with the same Idempotency-Key.',
    'true',
    z.literal('true'),
  ),
  Link: header(
    'RFC 8288. `rel="monitor"`: the run; `rel="next"`: the next page.',
    `<${run}>; rel="monitor"`,
    z.string().regex(/^<.+>; rel="\w+"$/),
  ),
  Location: header('Where the answer will be, or what was made.', run, address),
  'Preference-Applied': header('The preferences of `Prefer` that were heeded.', 'wait=10'),
  'Retry-After': header('Seconds after which asking again is worth it.', '1', z.string().regex(/^\d+$/)),
  'Server-Timing': header(
    'Milliseconds until the run was committed, and from there to its answer.',
    'commit;dur=0.9, first;dur=12.4',
    z.string().regex(/^commit;dur=[\d.]+(?:, first;dur=[\d.]+)?$/),
  ),
  Vary: header('RFC 9110.', 'Accept'),
  'WWW-Authenticate': header('RFC 6750.', 'Bearer', z.string().regex(/^Bearer\b/)),
} satisfies Record<string, Header>

export type RequestHeaderName = keyof typeof requestHeaders
export type ResponseHeaderName = keyof typeof responseHeaders
