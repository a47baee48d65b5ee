/** Headers that requests and answers can have. */
import { z } from 'zod'

interface Header {
  readonly description: string
  readonly schema: z.ZodType
  readonly example: string
}

export const requestHeaders = {
  Prefer: {
    description:
      'RFC 7240. `respond-async`: answer 202 at once; `wait=N`: wait at most N seconds (60 at the most), then 202, or 304 for a run that has not changed; `return=minimal`: a short body. What is unknown is ignored.',
    schema: z.string(),
    example: 'wait=10',
  },
  'Idempotency-Key': {
    description:
      'A request that is sent again with the same key and body makes no second run; bare or as a quoted string, of 1 to 255 characters.',
    schema: z.string(),
    example: '"b9e8c2a4-1f0d-4c53-9a52-6f0a1f7f3d11"',
  },
  'If-None-Match': {
    description: 'An `ETag` from before: 304 while it still holds.',
    schema: z.string(),
    example: 'W/"4"',
  },
  'Last-Event-ID': {
    description: 'The last `id` that was received, to go on after a cut; the final one is answered with 204.',
    schema: z.string(),
    example: '4',
  },
} as const satisfies Record<string, Header>

export const responseHeaders = {
  'Accept-Encoding': {
    description: 'The codings that a body may have.',
    schema: z.string(),
    example: 'gzip, identity',
  },
  Allow: { description: 'The methods of this path.', schema: z.string(), example: 'GET, HEAD, OPTIONS' },
  'Cache-Control': { description: 'RFC 9111.', schema: z.string(), example: 'no-store' },
  'Content-Location': {
    description: 'Where the run can be read.',
    schema: z.string().regex(/\/runs\//),
    example: '/runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7',
  },
  ETag: {
    description: 'RFC 9110; of a run, its version.',
    schema: z.string().regex(/^(?:W\/)?".*"$/),
    example: 'W/"4"',
  },
  'Idempotency-Replayed': {
    description: 'The run was made by an earlier request with the same Idempotency-Key.',
    schema: z.literal('true'),
    example: 'true',
  },
  Link: {
    description: 'RFC 8288. `rel="monitor"`: the run; `rel="next"`: the next page.',
    schema: z.string().regex(/^<.+>; rel="\w+"$/),
    example: '</runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7>; rel="monitor"',
  },
  Location: {
    description: 'Where the answer will be.',
    schema: z.string().regex(/\/runs\//),
    example: '/runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7',
  },
  'Preference-Applied': {
    description: 'The preferences of `Prefer` that were heeded.',
    schema: z.string(),
    example: 'wait=10',
  },
  'Retry-After': {
    description: 'Seconds after which asking again is worth it.',
    schema: z.string().regex(/^\d+$/),
    example: '1',
  },
  'Server-Timing': {
    description: 'Milliseconds until the run was committed, and from there to its answer.',
    schema: z.string().regex(/^commit;dur=[\d.]+(?:, first;dur=[\d.]+)?$/),
    example: 'commit;dur=0.9, first;dur=12.4',
  },
  Vary: { description: 'RFC 9110.', schema: z.string(), example: 'Accept' },
  'WWW-Authenticate': {
    description: 'RFC 6750.',
    schema: z.string().regex(/^Bearer\b/),
    example: 'Bearer',
  },
} as const satisfies Record<string, Header>

export type RequestHeaderName = keyof typeof requestHeaders
export type ResponseHeaderName = keyof typeof responseHeaders
