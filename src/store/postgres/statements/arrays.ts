/** Values of one column as the literal of an array: what pg makes of an array is as right, and takes several times as long. */

/** Also of text that needs no quotes: ids, and names of this program's own. */
export function plainArray(values: readonly (number | string | null)[]): string {
  return `{${values.map((value) => value ?? 'NULL').join(',')}}`
}

export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : quoted(value))).join(',')}}`
}

const special = /["\\]/g

function quoted(value: string): string {
  return `"${value.replaceAll(special, String.raw`\$&`)}"`
}
