/** A form for the input of a task, generated from its JSON Schema: fields for simple members, JSON text for others. */
import type { ComponentChildren } from 'preact'
import { parseKeeping, prettyJson, RawJson, writeJson } from '../../src/domain/json.ts'
import { parseTyped } from './typed-json.ts'

type Schema = Readonly<Record<string, unknown>>

export interface SchemaFormProps {
  readonly schema: Schema | null
  readonly value: unknown
  readonly onChange: (value: unknown) => void
  readonly label: string
}

export function SchemaForm({ schema, value, onChange, label }: SchemaFormProps) {
  const members = membersOf(schema)
  if (members === null)
    return <JsonField label={`Input of ${label}`} value={value} onChange={onChange} hint={hintOf(schema)} />
  const known = membersOfInput(value)
  const set = (name: string, next: unknown): void => {
    const { [name]: _before, ...rest } = known
    onChange(next === undefined ? rest : { ...rest, [name]: next })
  }
  const required = new Set(Array.isArray(schema?.['required']) ? schema['required'] : [])
  return (
    <div class="fields">
      {members.map(([name, member]) => (
        <Member
          key={name}
          name={required.has(name) ? `${name} *` : name}
          schema={member}
          value={known[name]}
          onChange={(next) => set(name, next)}
        />
      ))}
    </div>
  )
}

/** Each field keeps its text until it is edited. */
function membersOfInput(value: unknown): Readonly<Record<string, unknown>> {
  const whole = value instanceof RawJson ? value.parse() : value
  if (typeof whole !== 'object' || whole === null) return {}
  if (!(value instanceof RawJson)) return whole as Readonly<Record<string, unknown>>
  const paths = Object.keys(whole).map((name) => [name])
  return parseKeeping(value.text, paths) as Readonly<Record<string, unknown>>
}

interface MemberProps {
  readonly name: string
  readonly schema: Schema
  readonly value: unknown
  readonly onChange: (value: unknown) => void
}

function Member({ name, schema, value: written, onChange }: MemberProps) {
  const value = written instanceof RawJson ? written.parse() : written
  const { type, enum: choices, default: standard } = schema
  const hint = hintOf(schema)
  const placeholder = standard === undefined ? '' : `default: ${JSON.stringify(standard)}`
  if (Array.isArray(choices)) {
    const options = choices.map(textOf)
    return (
      <Field name={name} hint={hint}>
        <select
          value={textOf(value)}
          onChange={({ currentTarget: { value: given } }) =>
            onChange(given === '' ? undefined : choices[options.indexOf(given)])
          }
        >
          <option value="">{placeholder || '–'}</option>
          {options.map((option) => (
            <option key={option}>{option}</option>
          ))}
        </select>
      </Field>
    )
  }
  if (type === 'boolean') {
    return (
      <Field name={name} hint={hint}>
        <input type="checkbox" checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />
      </Field>
    )
  }
  if (type === 'number' || type === 'integer') {
    return (
      <Field name={name} hint={hint}>
        <input
          type="number"
          step={type === 'integer' ? 1 : 'any'}
          min={numberOf(schema['minimum'])}
          max={numberOf(schema['maximum'])}
          placeholder={placeholder}
          value={textOf(value)}
          onInput={({ currentTarget: { value: given } }) => onChange(given === '' ? undefined : Number(given))}
        />
      </Field>
    )
  }
  if (type === 'string') {
    const isLong = (numberOf(schema['maxLength']) ?? Infinity) > 1_000
    const props = {
      placeholder,
      value: textOf(value),
      onInput: ({ currentTarget }: { readonly currentTarget: { readonly value: string } }) =>
        onChange(currentTarget.value === '' ? undefined : currentTarget.value),
    }
    return (
      <Field name={name} hint={hint}>
        {isLong ? <textarea rows={1} spellcheck={false} {...props} /> : <input spellcheck={false} {...props} />}
      </Field>
    )
  }
  return <JsonField label={name} value={written} onChange={onChange} hint={hint} />
}

interface JsonFieldProps {
  readonly label: string
  readonly value: unknown
  readonly hint: string
  readonly onChange: (value: unknown) => void
}

/** Invalid or inexact JSON is marked, and the previous value is kept. */
function JsonField({ label, value, hint, onChange }: JsonFieldProps) {
  return (
    <Field name={label} hint={hint}>
      <textarea
        rows={value === undefined ? 1 : 4}
        placeholder="JSON; empty for none"
        spellcheck={false}
        class="mono"
        defaultValue={value === undefined ? '' : prettyJson(writeJson(value))}
        onInput={({ currentTarget }) => {
          const parsed = parseTyped(currentTarget.value)
          currentTarget.setCustomValidity(parsed.ok ? '' : parsed.reason)
          currentTarget.setAttribute('aria-invalid', String(!parsed.ok))
          if (parsed.ok) onChange(parsed.value)
        }}
      />
    </Field>
  )
}

function Field({ name, hint, children }: { name: string; hint: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>
        {name} {hint !== '' && <small>{hint}</small>}
      </span>
      {children}
    </label>
  )
}

/** null if the schema is not an object with named members. */
function membersOf(schema: Schema | null): [string, Schema][] | null {
  const properties = schema?.['properties']
  if (schema?.['type'] !== 'object' || typeof properties !== 'object' || properties === null) return null
  return Object.entries(properties as Record<string, Schema>)
}

function hintOf(schema: Schema | null): string {
  return typeof schema?.['description'] === 'string' ? schema['description'] : ''
}

/** The kind of field: text, number or choice. */
function textOf(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
