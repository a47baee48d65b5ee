/**
 * Holds answers against the OpenAPI document: status, media type, headers and body. The harness does so with every
 * answer that a test receives through it.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { createDocument } from '../../src/http/openapi/document.ts'
import { routeTable } from '../../src/http/router.ts'

export interface Contract {
  /** Rejects where the answer is not as the document says; what is no route of the document can be anything. */
  check(method: string, url: string, response: Response): Promise<void>
  /** What is wrong with a value by the schema that the JSON Pointer names; null where nothing is. */
  issuesOf(value: unknown, pointer: readonly string[]): string | null
}

type ByName<Value> = Readonly<Record<string, Value | undefined>>

interface ExpectedResponse {
  readonly headers?: Readonly<Record<string, { readonly required: boolean }>>
  readonly content?: ByName<unknown>
}

/** As much of the document as is walked through here; the schemas are looked up by their pointers. */
interface Document {
  readonly paths: ByName<ByName<{ readonly responses: ByName<ExpectedResponse> }>>
}

/** Of the connection, the body's form, and the browser's guards: every answer may have them. */
const undocumented: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-security-policy',
  'content-type',
  'date',
  'keep-alive',
  'referrer-policy',
  'transfer-encoding',
  'x-accel-buffering',
  'x-content-type-options',
])

let shared: Contract | undefined

/** Of the document as it is, compiled once in a process. */
export function sharedContract(): Contract {
  return (shared ??= createContract(createDocument(routeTable)))
}

export function createContract(document: Readonly<Record<string, unknown>>): Contract {
  const ajv = new Ajv2020({ strict: false, validateSchema: false })
  formats.default(ajv)
  ajv.addSchema(document, 'openapi')
  const compiled = new Map<string, ValidateFunction>()
  const { paths } = document as unknown as Document
  const templates = Object.keys(paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  }))

  function issuesOf(value: unknown, pointer: readonly string[]): string | null {
    const steps = pointer.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1')))
    const ref = `openapi#/${steps.join('/')}`
    const validate = compiled.get(ref) ?? ajv.compile({ $ref: ref })
    compiled.set(ref, validate)
    return validate(value) ? null : ajv.errorsText(validate.errors)
  }

  async function findIssue(method: string, path: string, response: Response): Promise<string | null> {
    const verb = method === 'HEAD' ? 'get' : method.toLowerCase()
    const operation = paths[path]?.[verb]
    if (operation === undefined) return checkRefusal(method, response)
    const { status } = response
    const range = `${String(status).charAt(0)}XX`
    const key = operation.responses[status] === undefined ? range : String(status)
    const expected = operation.responses[key]
    if (expected === undefined) return 'the status is not documented'
    const at = ['paths', path, verb, 'responses', key]
    return (
      checkHeaders(response, expected.headers ?? {}, at) ??
      (await checkBody(method, response, Object.keys(expected.content ?? {}), at))
    )
  }

  /** A method that the path has not. */
  async function checkRefusal(method: string, response: Response): Promise<string | null> {
    if (response.status === 405 && !response.headers.has('Allow')) return 'a 405 has no Allow'
    return method === 'HEAD' ? null : issuesOf(await bodyOf(response), ['components', 'schemas', 'Problem'])
  }

  function checkHeaders(
    { headers }: Response,
    expected: NonNullable<ExpectedResponse['headers']>,
    at: readonly string[],
  ): string | null {
    const issues = Object.entries(expected).flatMap(([name, { required }]) => {
      const value = headers.get(name)
      if (value === null) return required ? [`there is no ${name}`] : []
      const issue = issuesOf(value, [...at, 'headers', name, 'schema'])
      return issue === null ? [] : [`${name} is ${value}: ${issue}`]
    })
    const known = new Set(Object.keys(expected).map((name) => name.toLowerCase()))
    const unknown = [...headers.keys()].filter((name) => !known.has(name) && !undocumented.has(name))
    return issues[0] ?? (unknown.length === 0 ? null : `${unknown.join(', ')} is not documented`)
  }

  async function checkBody(
    method: string,
    response: Response,
    known: readonly string[],
    at: readonly string[],
  ): Promise<string | null> {
    const type = (response.headers.get('Content-Type') ?? '').replace(/\s*;.*$/, '')
    if (known.length === 0) return type === '' ? null : `there is a body of type ${type}, and none is documented`
    if (!known.includes(type)) return `the media type is "${type}" and not ${known.join(' or ')}`
    // A stream may never end.
    if (method === 'HEAD' || type === 'text/event-stream') return null
    const body = type.endsWith('json') ? await bodyOf(response) : await response.clone().text()
    return issuesOf(body, [...at, 'content', type, 'schema'])
  }

  return {
    issuesOf,
    async check(method, url, response) {
      const { pathname } = new URL(url)
      const path = templates.find(({ pattern }) => pattern.test(pathname))?.path
      if (method === 'OPTIONS' || path === undefined) return
      const issue = await findIssue(method, path, response)
      if (issue === null) return
      const body = response.body === null || isStream(response) ? '' : await response.clone().text()
      throw new Error(`${method} ${pathname} answered ${response.status} against the contract: ${issue}\n${body}`)
    },
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  return JSON.parse(await response.clone().text()) as unknown
}

function isStream({ headers }: Response): boolean {
  return headers.get('Content-Type')?.startsWith('text/event-stream') === true
}
