// The OpenAPI document as Markdown: each route with its parameters, body and responses, then the schemas that they use.

const note = 'Written by `npm run docs:reference` from the schemas that requests and answers are checked by.'

export function httpReference(document) {
  const routes = Object.entries(document.paths).flatMap(([path, { parameters = [], ...methods }]) =>
    Object.entries(methods).map(([method, operation]) => route(path, method, operation, parameters, document)),
  )
  const schemas = Object.entries(document.components.schemas)
    .filter(([name]) => !name.endsWith('Problem') || name === 'Problem')
    .map(([name, schema]) => schemaSection(name, schema))
  return [
    '# HTTP reference',
    `${note} [By example](../http.md).`,
    '## Routes',
    ...routes,
    '## Schemas',
    'A member without "optional" is always there.',
    ...schemas,
    '',
  ].join('\n\n')
}

function route(path, method, { summary, description, parameters = [], requestBody, responses }, shared, document) {
  const named = [...shared, ...parameters].map((parameter) => resolve(parameter, document))
  const bodies = Object.values(requestBody?.content ?? {}).map(({ schema }) => typeOf(schema))
  return [
    `### ${code(`${method.toUpperCase()} ${path}`)}`,
    [sentence(summary), description && sentence(description)].filter(Boolean).join(' '),
    bodies.length > 0 && `Body${requestBody.required ? '' : ', optional'}: ${[...new Set(bodies)].join(', ')}.`,
    named.length > 0 &&
      table(
        ['parameter', 'in', 'type', 'meaning'],
        named.map((one) => [code(one.name), one.in, typeOf(one.schema), one.description ?? '']),
      ),
    table(
      ['answer', 'body', 'meaning'],
      Object.entries(responses).map(([status, response]) => {
        const { content = {}, description: meaning } = resolve(response, document)
        const types = Object.entries(content).map(([type, { schema }]) => answerType(type, schema))
        return [status, [...new Set(types)].join(', '), meaning]
      }),
    ),
  ]
    .filter(Boolean)
    .join('\n\n')
}

function answerType(mediaType, schema) {
  if (mediaType === 'application/problem+json') return '[Problem](#problem)'
  return schema === undefined || mediaType !== 'application/json' ? code(mediaType) : typeOf(schema)
}

function schemaSection(name, schema) {
  const rows = members(schema)
  return [
    `### ${name}`,
    schema.description && sentence(schema.description),
    rows.length > 0 ? table(['member', 'type', 'meaning'], rows) : typeOf(schema),
  ]
    .filter(Boolean)
    .join('\n\n')
}

/** The members of an object, and of the unnamed objects inside it. */
function members({ properties = {}, required = [] }, prefix = '') {
  return Object.entries(properties).flatMap(([name, given]) => {
    const path = `${prefix}${name}`
    const meaning = [given.description?.replace(/\.$/, ''), bounds(given)].filter(Boolean).join('; ')
    const inner = inside(given)
    return [
      [code(path), `${typeOf(given)}${required.includes(name) ? '' : ', optional'}`, meaning],
      ...members(inner, given.type === 'array' ? `${path}[].` : `${path}.`),
    ]
  })
}

const inside = ({ anyOf, items, properties, required }) =>
  properties
    ? { properties, required }
    : items
      ? inside(items)
      : inside(anyOf?.find((one) => one.properties) ?? { properties: {} })

const unbounded = Number.MAX_SAFE_INTEGER

function bounds({ description, minimum, maximum, minLength, maxLength, minItems, maxItems, default: fallback }) {
  const between = (least, most, unit) => {
    if (most === undefined || most === unbounded) return least > 0 ? `at least ${least}${unit}` : undefined
    return `${least ?? 0} to ${most}${unit}`
  }
  return [
    (minimum ?? maximum) !== undefined && between(minimum, maximum, ''),
    (minLength ?? maxLength) !== undefined && between(minLength, maxLength, ' characters'),
    (minItems ?? maxItems) !== undefined && between(minItems, maxItems, ' elements'),
    fallback !== undefined && !/default:/i.test(description ?? '') && `default ${code(JSON.stringify(fallback))}`,
  ]
    .filter(Boolean)
    .join('; ')
}

function typeOf(schema = {}) {
  if (schema === true || Object.keys(schema).length === 0) return 'any JSON'
  if (schema.$ref !== undefined) return `[${nameOf(schema)}](#${nameOf(schema).toLowerCase()})`
  if (schema.const !== undefined) return code(JSON.stringify(schema.const))
  if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(' or ')
  const several = schema.anyOf ?? schema.oneOf ?? schema.allOf
  if (several !== undefined) return [...new Set(several.map(typeOf))].join(' or ')
  if (schema.type === 'array') return `list of ${typeOf(schema.items)}`
  if (Array.isArray(schema.type)) return schema.type.join(' or ')
  return schema.format ?? schema.type ?? 'any JSON'
}

const nameOf = ({ $ref = '' }) => $ref.split('/').at(-1)
const code = (text) => `\`${text}\``
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`

function resolve(given, document) {
  if (given.$ref === undefined) return given
  return given.$ref
    .slice(2)
    .split('/')
    .reduce((part, key) => part[key], document)
}

function table(head, rows) {
  const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n')
}
